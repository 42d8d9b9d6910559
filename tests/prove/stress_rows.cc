// S48: 32 clients with eight requests each, on eight threads beside the pool's, over devices that
// take their time with one request in a hundred: everybody gets on, and reads what it wrote.
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <semaphore>
#include <thread>

#include "engine/check.h"
#include "engine/file_queue.h"
#include "engine/lane.h"
#include "engine/run_now.h"
#include "tests/prove/rows.h"
#include "tests/support/delaying_queue.h"
#include "tests/support/processes.h"

namespace thinvol {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t clients = 32, depth = 8, threads = 8, volumes = 4;
constexpr std::uint64_t block = 64 << 10;
// Of one request at a time: four pieces, in blocks that it shares with others; the first of a
// client has a block of its own besides, to discard.
constexpr std::uint64_t piece = block / 4, pieces = 4, in_volume = clients / volumes * depth;
constexpr std::uint64_t own_blocks_at = pieces * in_volume * piece;
constexpr Bytes volume_size(own_blocks_at + clients / volumes * block);
constexpr std::uint64_t kept_snapshots = 3;  // of a volume
constexpr std::uint64_t requests_of_case = 40000;
constexpr auto patience = std::chrono::seconds(10);
constexpr std::uint64_t one_delayed_in = 100;
constexpr auto longest_delay = std::chrono::milliseconds(20);

UniqueFd memory_file(std::uint64_t size) {
    UniqueFd fd(::memfd_create("device", MFD_CLOEXEC));
    ASSERT(fd && ::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
    return fd;
}

class Sleeper {
public:
    void wake() { woken_.release(); }
    // Until somebody wakes it; a device does not.
    void sleep(bool device_works) {
        if (device_works) static_cast<void>(woken_.try_acquire_for(std::chrono::milliseconds(1)));
        else static_cast<void>(woken_.try_acquire_for(3 * patience));
    }

private:
    std::counting_semaphore<> woken_{0};
};

std::int64_t now_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch())
        .count();
}

// One request at a time, again and again.
struct Slot {
    std::size_t number = 0;
    Volume* volume = nullptr;
    Random random{0};
    IoRequest io{};
    std::vector<std::byte> buffer = std::vector<std::byte>(block);
    std::array<std::uint32_t, pieces + 1> versions{};  // in all words of it; 0: zeroes
    std::size_t place = 0;
    std::uint32_t next = 0;
    std::atomic<std::int64_t> began{0};  // ms; 0: nothing is under way
    std::atomic<std::uint64_t> answered{0};
    std::string wrong;

    std::uint64_t length() const { return place < pieces ? piece : block; }
    std::uint64_t at() const {
        const std::uint64_t within = number % in_volume;
        return place < pieces ? (place * in_volume + within) * piece
                              : own_blocks_at + within / depth * block;
    }
    void start() {
        place = random.below(number % depth == 0 ? pieces + 1 : pieces);
        io = {};
        io.volume = volume;
        io.owner = this;
        io.done = [](IoRequest& r) { static_cast<Slot*>(r.owner)->ended(); };
        const std::uint64_t kind = random.below(100);
        io.kind = kind < 45                      ? IoKind::read
                  : kind < 47                    ? IoKind::flush
                  : kind < 52                    ? IoKind::write_zeroes
                  : kind < 70 && place == pieces ? IoKind::discard
                                                 : IoKind::write;
        if (io.kind == IoKind::read || io.kind == IoKind::write) io.buffer = buffer.data();
        if (io.kind != IoKind::flush) {
            io.offset = ByteOffset(at());
            io.length = Bytes(length());
        }
        if (io.kind == IoKind::write) {
            io.fua = random.one_in(50);
            next = versions[place] == 0 ? static_cast<std::uint32_t>(number) + 1 : versions[place];
            next += clients * depth;
            for (std::uint64_t i = 0; i < length(); i += sizeof next)
                std::memcpy(buffer.data() + i, &next, sizeof next);
        } else {
            next = 0;
        }
        began = now_ms();
    }
    void look(std::span<const std::byte> bytes) {
        for (std::uint64_t i = 0; i < bytes.size() && wrong.empty(); i += 4) {
            std::uint32_t word;
            std::memcpy(&word, bytes.data() + i, 4);
            if (word != versions[place])
                wrong = fmt::format(
                    "request {} of client {}: byte {} of volume {} reads as {}, not {}",
                    number % depth, number / depth, at() + i, volume->id, word, versions[place]);
        }
    }
    void ended() {
        if (!io.outcome) wrong = io.outcome.error().text;
        else if (io.kind == IoKind::read) look(std::span(buffer).first(length()));
        else if (io.kind != IoKind::flush) versions[place] = next;
        answered.fetch_add(1, std::memory_order_relaxed);
        began = 0;
    }
};

// Four clients' thread.
struct LaneThread {
    LaneThread(Pool& pool, std::unique_ptr<FileQueue> file, std::uint64_t seed)
        : below(std::move(file)),
          queue(*below, seed, one_delayed_in, longest_delay),
          lane(pool.lanes(), queue, to_sectors(Bytes(block)), [this] { sleeper.wake(); }) {}

    void work(std::span<Slot> mine, std::uint64_t requests) {
        bool busy = true;
        while (busy) {
            bool progress = lane.run_once();
            busy = false;
            for (Slot& slot : mine) {
                if (slot.began == 0 && slot.answered < requests && slot.wrong.empty()) {
                    slot.start();
                    lane.submit(slot.io);
                    progress = true;
                }
                busy = busy || slot.began != 0;
            }
            if (!progress) sleeper.sleep(queue.in_flight() > 0);
        }
    }
    Sleeper sleeper;
    std::unique_ptr<FileQueue> below;
    DelayingQueue queue;
    Lane lane;
};

struct Stress {
    explicit Stress(std::uint64_t seed)
        : random(seed),
          md_file(memory_file(md_size), "metadata",
                  {false, Sectors(1), to_sectors(Bytes(md_size)), nullptr, false}),
          data_file(memory_file(data_size), "data",
                    {false, Sectors(1), to_sectors(Bytes(data_size)), nullptr, false}),
          md(md_file, seed + 1, one_delayed_in, longest_delay),
          data(data_file, seed + 2, one_delayed_in, longest_delay),
          slots(clients * depth) {
        auto made = Pool::create(md, data, to_sectors(Bytes(block)), {});
        ASSERT(made.has_value());
        pool = std::move(*made);
        pool->lanes().on_wake([this] { sleeper.wake(); });
        for (; next_id < volumes; ++next_id)
            ASSERT(apply_now(*pool, {CreateThin{ThinId::checked(next_id)}}, {}, {}).has_value());
        for (std::size_t i = 0; i < slots.size(); ++i) {
            slots[i].number = i;
            slots[i].random = Random(seed * 1000 + i);
            slots[i].volume = *pool->open_volume(
                ThinId::checked(static_cast<std::uint32_t>(i / in_volume)), volume_size, false);
        }
        for (std::size_t i = 0; i < threads; ++i)
            lanes.push_back(
                std::make_unique<LaneThread>(*pool, *data_file.sibling(nullptr), seed + 3 + i));
    }

    // Snapshots come and go, and metadata snapshots.
    void begin_operation() {
        const auto of = static_cast<std::uint32_t>(random.below(volumes));
        apply = {};
        if (random.one_in(8)) {
            if (held) apply.operations = {ReleaseMetadataSnapshot{}};
            else apply.operations = {ReserveMetadataSnapshot{}};
            held = !held;
        } else if (snapshots[of].size() == kept_snapshots) {
            apply.operations = {RemoveThin{snapshots[of].front()}};
            snapshots[of].erase(snapshots[of].begin());
        } else {
            snapshots[of].push_back(ThinId::checked(next_id++));
            apply.operations = {CreateSnapshot{snapshots[of].back(), ThinId::checked(of)}};
        }
        apply.owner = this;
        apply.done = [](ApplyRequest& r) {
            auto& self = *static_cast<Stress*>(r.owner);
            if (!r.outcome) self.wrong = r.outcome.error().text;
            self.apply_began = 0;
            ++self.operations;
        };
        apply_began = now_ms();
        pool->apply(apply);
    }
    // The pool's thread. What should wake it and does not is a wait without end.
    void work() {
        for (std::uint64_t turn = 0; !stop || apply_began != 0; ++turn) {
            if (!stop && apply_began == 0 && turn % 20 == 0 && wrong.empty()) begin_operation();
            if (turn % 100 == 0) pool->tick(clock += std::chrono::milliseconds(100));
            if (!pool->run_once()) sleeper.sleep(data.in_flight() + md.in_flight() > 0);
        }
    }
    std::uint64_t delayed() const {
        std::uint64_t sum = md.delayed() + data.delayed();
        for (const auto& lane : lanes) sum += lane->queue.delayed();
        return sum;
    }
    // Who waits for longer than anybody should; empty: nobody.
    std::string stuck() const {
        const std::int64_t limit = now_ms() - std::chrono::milliseconds(patience).count();
        const auto late = [&](std::int64_t since) { return since != 0 && since < limit; };
        for (const Slot& slot : slots)
            if (late(slot.began))
                return fmt::format("request {} of client {} ({}) does not end", slot.number % depth,
                                   slot.number / depth, static_cast<int>(slot.io.kind));
        return late(apply_began) ? "an operation on the pool does not end" : "";
    }
    void stop_pool() {
        if (!stop.exchange(true)) sleeper.wake();
    }
    std::string run() {
        std::atomic<std::size_t> at_work = threads;
        std::vector<std::thread> running;
        constexpr std::size_t share = clients * depth / threads;
        for (std::size_t i = 0; i < threads; ++i)
            running.emplace_back([&, i] {
                lanes[i]->work(std::span(slots).subspan(i * share, share),
                               requests_of_case / slots.size());
                --at_work;
            });
        std::thread own([&] { work(); });
        while (at_work > 0 || apply_began != 0) {
            if (at_work == 0) stop_pool();
            if (std::string who = stuck(); !who.empty()) {
                // They are left as they are: the row's process ends with them.
                for (std::thread& thread : running) thread.detach();
                own.detach();
                abandoned = true;
                return who + "\n" + describe_process(::getpid());
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        stop_pool();
        for (std::thread& thread : running) thread.join();
        own.join();
        return wrong;
    }
    // What all wrote, as the pool's thread sees it, and the recount.
    std::string judge() {
        for (Slot& slot : slots) {
            for (slot.place = 0; slot.place <= pieces && slot.wrong.empty(); ++slot.place) {
                if (slot.place == pieces && slot.number % depth != 0) continue;
                IoRequest read;
                read.volume = slot.volume;
                read.offset = ByteOffset(slot.at());
                read.length = Bytes(slot.length());
                read.buffer = slot.buffer.data();
                if (auto outcome = submit_now(*pool, read); !outcome)
                    slot.wrong = outcome.error().text;
                else slot.look(std::span(slot.buffer).first(slot.length()));
            }
            if (!slot.wrong.empty()) return slot.wrong;
        }
        if (auto settled = pool->settle(); !settled) return settled.error().text;
        const auto report = check_metadata(md);
        if (!report) return report.error().text;
        return report->findings.empty() ? "" : report->findings.front().text;
    }

    static constexpr std::uint64_t md_size = 2048 * 4096;
    static constexpr std::uint64_t data_size =
        volumes * (kept_snapshots + 2) * 2 * (volume_size.n + block);
    Random random;
    FileQueue md_file, data_file;
    DelayingQueue md, data;
    std::unique_ptr<Pool> pool;
    Sleeper sleeper;
    std::vector<Slot> slots;
    std::vector<std::unique_ptr<LaneThread>> lanes;
    std::array<std::vector<ThinId>, volumes> snapshots;
    std::uint32_t next_id = 0;
    bool held = false;
    ApplyRequest apply;
    std::atomic<std::int64_t> apply_began{0};
    std::uint64_t operations = 0;
    std::chrono::milliseconds clock{0};
    std::atomic<bool> stop{false};
    bool abandoned = false;
    std::string wrong;
};

}  // namespace

Outcome everybody_gets_on(const Budget& budget) {
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t seed) {
        auto stress = std::make_unique<Stress>(seed);
        outcome.failure = stress->run();
        if (!stress->abandoned && outcome.failure.empty()) outcome.failure = stress->judge();
        if (!outcome.failure.empty())
            outcome.failure =
                fmt::format("--replay {}, if threads meet so again: {}", seed, outcome.failure);
        if (stress->abandoned) return static_cast<void>(stress.release());
        for (const Slot& slot : stress->slots) outcome.executed += slot.answered;
        outcome.executed += stress->operations;
        for (std::uint64_t i = 0; i < stress->delayed(); ++i)
            outcome.distinct.insert(seed << 32 | i);
    });
    return outcome;
}

}  // namespace thinvol
