// Goal: a range moves to another device under random I/O; nothing that was acknowledged is lost,
// whenever the power is cut, and nobody reads the wrong place.
// Method: two simulated devices, a model of what each sector may hold, and an owner that decides
// for the new place at one moment of the trace.
#include "engine/moving_queue.h"

#include <catch2/catch_test_macros.hpp>

#include "tests/support/crash_images.h"
#include "tests/support/metadata_fixture.h"
#include "tests/support/sim_device.h"

namespace thinvol {
namespace {

constexpr std::uint64_t sectors = 96;
constexpr Sectors moved{64};
constexpr Sector moved_at{16};
constexpr Sector there_at{8};

// Random writes and flushes of one client, one sector each; a sector has one write at a time.
class Client {
public:
    Client(LinearQueue& queue, Trace& trace, std::uint64_t seed)
        : queue_(queue), trace_(trace), random_(seed) {}

    void start_some() {
        for (Slot& slot : slots_) {
            if (slot.busy || !random_.one_in(2)) continue;
            start(slot);
        }
        if (!flush_.busy && random_.one_in(4)) {
            flush_.busy = true;
            flush_.covers = acknowledged_;
            flush_.request = Request{};
            flush_.request.op = Op::flush;
            submit(flush_);
        }
    }
    bool idle() const {
        return !flush_.busy && std::ranges::none_of(slots_, [](const Slot& s) { return s.busy; });
    }
    // What each sector has held since the flush that was durable by then, that value included.
    bool may_hold(std::size_t position, std::size_t sector, std::byte value) const {
        bool newest_durable_seen = false;
        for (auto write = history_.rbegin(); write != history_.rend(); ++write) {
            if (write->sector != sector || write->submitted > position) continue;
            if (write->value == value) return true;
            if (write->durable <= position) newest_durable_seen = true;
            if (newest_durable_seen) return false;
        }
        return value == std::byte(0);
    }
    std::byte newest(std::size_t sector) const { return newest_[sector]; }

private:
    struct Write {
        std::size_t sector;
        std::byte value;
        std::size_t submitted;
        std::size_t durable = ~0UL;
    };
    struct Slot {
        Client* client = nullptr;
        bool busy = false;
        Request request;
        iovec part{};
        std::array<std::byte, 512> bytes{};
        std::size_t write = 0;
        std::vector<std::size_t> covers;
    };
    void start(Slot& slot) {
        const std::size_t sector =
            static_cast<std::size_t>(&slot - slots_.data()) + slots_.size() * random_.below(12);
        slot.busy = true;
        slot.request = Request{};
        if (random_.one_in(3)) {  // a read shows the newest: the sector is this slot's alone
            slot.request.op = Op::read;
            slot.write = sector;
        } else {
            const auto value = static_cast<std::byte>(random_.below(255) + 1);
            slot.bytes.fill(value);
            slot.request.op = Op::write;
            history_.push_back({sector, value, trace_.note()});
            newest_[sector] = value;
            slot.write = history_.size() - 1;
        }
        slot.request.at = Sector(sector);
        slot.request.length = Sectors(1);
        slot.part = {slot.bytes.data(), slot.bytes.size()};
        slot.request.data = {&slot.part, 1};
        submit(slot);
    }
    void submit(Slot& slot) {
        slot.client = this;
        slot.request.owner = &slot;
        slot.request.done = [](Request& r) {
            Slot& s = *static_cast<Slot*>(r.owner);
            s.client->ended(s);
        };
        if (queue_.submit(slot.request)) ended(slot);
    }
    void ended(Slot& slot) {
        slot.busy = false;
        must(std::move(slot.request.outcome));
        const std::size_t now = trace_.note();
        if (slot.request.op == Op::flush) {
            for (const std::size_t w : slot.covers)
                history_[w].durable = std::min(history_[w].durable, now);
        } else if (slot.request.op == Op::write) {
            acknowledged_.push_back(slot.write);
        } else {
            REQUIRE(slot.bytes[0] == newest_[slot.write]);
        }
    }

    LinearQueue& queue_;
    Trace& trace_;
    Random random_;
    std::array<Slot, 8> slots_;
    Slot flush_;
    std::vector<Write> history_;
    std::vector<std::size_t> acknowledged_;
    std::array<std::byte, sectors> newest_{};
};

struct World {
    Trace trace;
    SimDevice old_place;
    SimDevice new_place;
    LinearQueue queue;
    Client client;

    explicit World(std::uint64_t seed)
        : old_place(trace, 0, std::vector<std::byte>(512 * sectors), seed),
          new_place(trace, 1, std::vector<std::byte>(512 * 80, std::byte(255)), seed + 1),
          queue{{{&old_place, Sector(0), Sectors(sectors)}}},
          client(queue, trace, seed + 2) {}

    template <class Task>
    void wait_for(Task& task, const std::function<void()>& start) {
        bool over = false;
        task.owner = &over;
        task.done = [](Task& t) { *static_cast<bool*>(t.owner) = true; };
        start();
        while (!over) {
            client.start_some();
            queue.poll(false);
        }
        must(std::move(task.outcome));
    }
    void drain() {
        LinearQueue::Drain drain;
        wait_for(drain, [&] { queue.drain(drain); });
    }
    void flush() {
        Request flush;
        flush.op = Op::flush;
        wait_for(flush, [&] {
            if (queue.submit(flush)) flush.done(flush);
        });
    }
    void rest() {
        while (!client.idle()) queue.poll(true);
    }
};

// One part, waited for.
Result<> copy_now(MovingQueue& moving, MovingQueue::Step step) {
    bool over = false;
    step.owner = &over;
    step.done = [](MovingQueue::Step& s) { *static_cast<bool*>(s.owner) = true; };
    moving.copy(step);
    for (int turns = 0; !over && turns < 100; ++turns) moving.poll(true);
    REQUIRE(over);
    return std::move(step.outcome);
}

}  // namespace

TEST_CASE("a range moves under I/O, and a power cut at any moment loses nothing") {
    for (const std::uint64_t seed : test_seeds(20)) {
        CAPTURE(seed);
        World w(seed);
        w.old_place.set_slowness(1 + seed % 4);
        w.new_place.set_slowness(1 + seed % 3);
        for (int i = 0; i < 20; ++i) {
            w.client.start_some();
            w.queue.poll(false);
        }
        const LinearSegment from = w.queue.part_at(moved_at, moved);
        REQUIRE(from.length == moved);
        const LinearSegment to{&w.new_place, there_at, moved};
        MovingQueue moving(from, to);
        w.queue.replace(moved_at, {&moving, Sector(0), moved});
        w.drain();
        std::vector<std::byte> buffer(512 * 16);
        for (Sectors done(0); done < moved; done += Sectors(16)) {
            MovingQueue::Step step{end_of(done), buffer};
            w.wait_for(step, [&] { moving.copy(step); });
        }
        w.flush();
        REQUIRE(moving.missed().has_value());
        moving.settle();
        const std::size_t may_be_new = w.trace.note();
        for (int i = 0; i < 30; ++i) {  // the catalog's transaction is under way
            w.client.start_some();
            w.queue.poll(false);
        }
        const std::size_t is_new = w.trace.note();
        w.queue.replace(moved_at, to);
        w.drain();
        const std::size_t old_is_free = w.trace.note();
        for (int i = 0; i < 30; ++i) {
            w.client.start_some();
            w.queue.poll(false);
        }
        w.rest();
        for (std::size_t i = old_is_free; i < w.trace.events.size(); ++i) {
            const Trace::Event& e = w.trace.events[i];
            if (e.kind != Trace::Kind::write_submitted || e.device != 0) continue;
            const std::uint64_t at = w.trace.writes[e.subject].at / 512;
            REQUIRE((at < moved_at.n || at >= moved_at.n + moved.n));
        }

        CrashImages images(w.trace, {std::vector<std::byte>(512 * sectors),
                                     std::vector<std::byte>(512 * 80, std::byte(255))});
        Random random(seed);
        for (;; images.step()) {
            for (const CrashPolicy policy :
                 {CrashPolicy::none, CrashPolicy::all, CrashPolicy::random}) {
                const auto cut = images.cut(policy, random);
                for (const bool new_one : {false, true}) {
                    if (new_one ? images.position() < may_be_new : images.position() >= is_new)
                        continue;
                    for (std::uint64_t s = 0; s < sectors; ++s) {
                        const bool there = new_one && s >= moved_at.n && s < moved_at.n + moved.n;
                        const std::uint64_t at = there ? s - moved_at.n + there_at.n : s;
                        const std::byte value = cut[there ? 1 : 0][at * 512];
                        if (!w.client.may_hold(images.position(), s, value))
                            FAIL("sector " << s << " at " << images.position() << " of "
                                           << may_be_new << ".." << is_new);
                    }
                }
            }
            if (images.at_end()) break;
        }
    }
}

TEST_CASE("a write that the new place refuses ends the move, and not the write") {
    World w(7);
    const LinearSegment from = w.queue.part_at(moved_at, moved);
    const LinearSegment to{&w.new_place, there_at, moved};
    MovingQueue moving(from, to);
    w.queue.replace(moved_at, {&moving, Sector(0), moved});
    w.drain();
    w.new_place.set_fault([](const Request& r) -> std::optional<Error> {
        if (r.op != Op::write) return std::nullopt;
        return Error(Errc::out_of_space, "full");
    });
    w.rest();
    const std::vector<std::byte> bytes(512, std::byte(9));
    must(write_now(w.queue, moved_at, bytes));
    must(flush_now(w.queue));
    REQUIRE_FALSE(moving.missed().has_value());
    CHECK(moving.missed().error().code == Errc::out_of_space);
    w.queue.replace(moved_at, from);
    w.drain();
    w.rest();
    std::vector<std::byte> back(512);
    must(read_now(w.queue, moved_at, back));
    CHECK((back == bytes || back[0] == w.client.newest(moved_at.n)));
}

TEST_CASE("once the decision is being made, a write that the new place refuses fails") {
    World w(8);
    const LinearSegment from = w.queue.part_at(moved_at, moved);
    const LinearSegment to{&w.new_place, there_at, moved};
    MovingQueue moving(from, to);
    w.queue.replace(moved_at, {&moving, Sector(0), moved});
    w.drain();
    w.rest();
    moving.settle();
    w.new_place.set_fault(
        [](const Request&) -> std::optional<Error> { return Error(Errc::io_error, "broken"); });
    const std::vector<std::byte> bytes(512, std::byte(9));
    CHECK_FALSE(write_now(w.queue, moved_at, bytes).has_value());
    CHECK_FALSE(flush_now(w.queue).has_value());
}

TEST_CASE("a part that cannot be copied says which side failed, and the range stays in use") {
    struct Row {
        Op op;  // that fails
        bool at_old_place;
        const char* text;
    };
    for (const Row& row : {Row{Op::read, true, "old"}, Row{Op::write, false, "new"},
                           Row{Op::write_zeroes, false, "new"}}) {
        CAPTURE(int(row.op));
        World w(9);
        MovingQueue moving(w.queue.part_at(moved_at, moved), {&w.new_place, there_at, moved});
        const auto value = static_cast<std::byte>(row.op == Op::write_zeroes ? 0 : 9);
        const std::vector<std::byte> bytes(512, value);
        must(write_now(moving, Sector(0), bytes));
        (row.at_old_place ? w.old_place : w.new_place)
            .set_fault([&](const Request& r) -> std::optional<Error> {
                if (r.op != row.op) return std::nullopt;
                return Error(Errc::io_error, row.text);
            });
        std::vector<std::byte> buffer(512);
        const auto outcome = copy_now(moving, {Sector(0), buffer});
        REQUIRE_FALSE(outcome.has_value());
        CHECK(outcome.error().text == row.text);
        w.old_place.set_fault(nullptr);
        w.new_place.set_fault(nullptr);
        std::vector<std::byte> back(512);
        must(read_now(moving, Sector(0), back));
        CHECK(back == bytes);
        must(copy_now(moving, {Sector(0), buffer}));  // that can be tried again
        CHECK(w.new_place.image()[there_at.n * 512] == value);
    }
}

TEST_CASE("no part is said to be copied once the new place has missed a write") {
    World w(10);
    MovingQueue moving(w.queue.part_at(moved_at, moved), {&w.new_place, there_at, moved});
    w.new_place.set_fault(
        [](const Request&) -> std::optional<Error> { return Error(Errc::io_error, "broken"); });
    const std::vector<std::byte> bytes(512, std::byte(9));
    must(write_now(moving, Sector(1), bytes));
    must(write_now(moving, Sector(2), bytes));
    w.new_place.set_fault(nullptr);
    std::vector<std::byte> buffer(512);
    const auto outcome = copy_now(moving, {Sector(0), buffer});
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().text == "broken");
}

TEST_CASE("a moving range refuses what is outside of it, and of both places") {
    World w(11);
    MovingQueue moving(w.queue.part_at(moved_at, moved), {&w.new_place, there_at, moved});
    const std::vector<std::byte> bytes(1024);
    CHECK(write_now(moving, Sector(moved.n - 1), bytes).error().code == Errc::invalid_argument);
    CHECK(w.trace.events.empty());
    CHECK(moving.in_flight() == 0);
    // Once settled a write fails with the old place's error, whatever the new one says.
    moving.settle();
    w.old_place.set_fault([](const Request&) { return Error(Errc::io_error, "old"); });
    w.new_place.set_fault([](const Request&) { return Error(Errc::io_error, "new"); });
    CHECK(write_now(moving, Sector(0), bytes).error().text == "old");
}

}  // namespace thinvol
