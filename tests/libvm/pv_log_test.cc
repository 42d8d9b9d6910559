// Goal: what a log accepted it gives back, in order, after any crash; what is torn or damaged ends
// it or is an error, and never turns into a row.
// Method: a device in memory, reopened after each step, its bytes changed at the offsets that the
// header lists.
#include "libvm/pv_log.h"

#include <algorithm>
#include <limits>

#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "engine/base/crc32c.h"
#include "engine/base/le.h"
#include "tests/support/crash_images.h"
#include "tests/support/metadata_fixture.h"
#include "tests/support/seed.h"
#include "tests/support/sim_device.h"

namespace thinvol {
namespace {

using Changes = std::vector<Catalog::Change>;
using Lines = std::vector<std::string>;

constexpr std::uint64_t max64 = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t block_size = 4096;
constexpr UuidBytes group{std::byte(7)};
constexpr Sector area{64};
constexpr Sectors area_length{2 * 16 * 8};  // two halves of 16 blocks

std::string line(std::int64_t n) { return R"({"t":"lv","d":)" + std::to_string(n) + "}"; }
Changes changes(std::int64_t first, std::int64_t last) {
    Changes all;
    for (std::int64_t n = first; n <= last; ++n) all.push_back({n, line(n)});
    return all;
}
Lines lines(std::int64_t first, std::int64_t last) {
    Lines all;
    for (std::int64_t n = first; n <= last; ++n) all.push_back(line(n));
    return all;
}
// One change whose record has that many blocks.
Changes large(std::int64_t n, std::size_t blocks) {
    return {{n, std::string(blocks * block_size - 32 - 1, 'x')}};
}

struct Fixture {
    MemoryQueue device{Sectors(1024)};

    PvLog open(Sectors length = area_length) {
        return must(PvLog::open(device, area, length, group));
    }
    Lines read() { return must(open().read_all()); }
    // A log with the checkpoint of rows 1 and 2, then records 3, 4 and 5.
    PvLog filled() {
        PvLog log = open();
        must(log.checkpoint(changes(1, 2), 2));
        for (std::int64_t n = 3; n <= 5; ++n) must(log.append(changes(n, n)));
        return log;
    }
    std::byte* at(std::size_t half, std::size_t block) {
        return device.bytes().data() + to_bytes(area).n + (half * 16 + block) * block_size;
    }
    std::size_t half_of(std::uint64_t generation) {
        for (const std::size_t half : {0U, 1U}) {
            if (load_le<std::uint64_t>(at(half, 0) + 16) == generation) return half;
        }
        FAIL("no half has generation " << generation);
        return 0;
    }
    void seal_header(std::size_t half) {
        store_le<std::uint32_t>(at(half, 0) + 8, 0);
        store_le(at(half, 0) + 8, crc32c({at(half, 0), block_size}));
    }
};

}  // namespace

TEST_CASE("an area that was never written is an empty log") {
    Fixture f;
    PvLog log = f.open();
    CHECK(log.empty());
    CHECK(log.last_change() == 0);
    CHECK(must(log.read_all()).empty());
    std::fill(f.device.bytes().begin(), f.device.bytes().end(), std::byte(0xff));
    CHECK(f.open().empty());
}

TEST_CASE("a log holds its checkpoint and what was appended, in order") {
    Fixture f;
    PvLog log = f.filled();
    CHECK(log.last_change() == 5);
    CHECK(must(log.read_all()) == lines(1, 5));
    must(log.append(changes(6, 9)));
    PvLog again = f.open();
    CHECK_FALSE(again.empty());
    CHECK(again.last_change() == 9);
    CHECK(must(again.read_all()) == lines(1, 9));
    must(again.append(changes(10, 10)));
    CHECK(f.read() == lines(1, 10));
}

TEST_CASE("a checkpoint replaces everything before it") {
    Fixture f;
    PvLog log = f.filled();
    must(log.checkpoint(changes(40, 41), 50));
    CHECK(log.last_change() == 50);
    CHECK(must(log.read_all()) == lines(40, 41));
    CHECK(f.read() == lines(40, 41));
    CHECK(f.open().last_change() == 50);
    must(log.append(changes(51, 51)));
    must(log.checkpoint(changes(60, 60), 60));  // back in the half of the first
    CHECK(f.read() == lines(60, 60));
    CHECK(f.open().last_change() == 60);
}

TEST_CASE("a checkpoint without rows is one") {
    Fixture f;
    PvLog log = f.open();
    must(log.checkpoint({}, 17));
    CHECK(f.open().last_change() == 17);
    CHECK(f.read().empty());
    must(log.append(changes(18, 18)));
    CHECK(f.read() == lines(18, 18));
}

TEST_CASE("lengths around a block's end come back whole") {
    for (std::size_t n = block_size - 40; n <= block_size + 8; ++n) {
        CAPTURE(n);
        Fixture f;
        PvLog log = f.open();
        must(log.checkpoint({{1, std::string(n, 'a')}}, 1));
        must(log.append({{2, std::string(n, 'b')}}));
        must(log.append({{3, std::string(n, 'c')}}));
        CHECK(must(log.read_all()) ==
              Lines{std::string(n, 'a'), std::string(n, 'b'), std::string(n, 'c')});
        CHECK(f.read() == Lines{std::string(n, 'a'), std::string(n, 'b'), std::string(n, 'c')});
    }
}

TEST_CASE("records larger than what is read at once come back whole") {
    MemoryQueue device(Sectors(8192));
    const Sectors length(4096);
    PvLog log = must(PvLog::open(device, area, length, group));
    must(log.checkpoint(changes(1, 1), 1));
    Lines expected = lines(1, 1);
    for (const std::size_t blocks : {1U, 15U, 16U, 17U, 3U, 40U, 2U}) {
        const Changes change = large(static_cast<std::int64_t>(expected.size()) + 1, blocks);
        must(log.append(change));
        expected.push_back(change.front().json);
    }
    CHECK(must(log.read_all()) == expected);
    PvLog again = must(PvLog::open(device, area, length, group));
    CHECK(must(again.read_all()) == expected);
    CHECK(again.last_change() == log.last_change());
}

TEST_CASE("a full log says so, keeps what it has, and takes a checkpoint") {
    Fixture f;
    PvLog log = f.open();
    must(log.checkpoint(changes(1, 1), 1));
    std::int64_t n = 1;
    for (;;) {
        const auto outcome = log.append(changes(n + 1, n + 1));
        if (!outcome) {
            CHECK(outcome.error().code == Errc::out_of_space);
            break;
        }
        REQUIRE(++n < 100);
    }
    CHECK(n == 1 + 14);  // a half of 16 blocks without header and checkpoint
    CHECK(log.last_change() == n);
    CHECK(must(log.read_all()) == lines(1, n));
    CHECK(f.read() == lines(1, n));
    must(log.checkpoint(changes(1, 2), n + 1));
    must(log.append(changes(n + 2, n + 2)));
    CHECK(f.open().last_change() == n + 2);
}

TEST_CASE("a checkpoint that does not fit leaves the log as it was") {
    Fixture f;
    PvLog log = f.filled();
    const Changes rows{{6, std::string(16 * block_size, 'x')}};
    CHECK(log.checkpoint(rows, 6).error().code == Errc::out_of_space);
    CHECK(log.last_change() == 5);
    CHECK(must(log.read_all()) == lines(1, 5));
    CHECK(f.read() == lines(1, 5));
    must(log.append(changes(6, 6)));
    CHECK(f.read() == lines(1, 6));
}

TEST_CASE("the area that is asked for has room for the rows and for changes") {
    for (const std::size_t bytes : {0U, 1U, 4095U, 4096U, 100000U, 1000000U}) {
        CAPTURE(bytes);
        const Changes rows{{1, std::string(bytes, 'x')}};
        const Sectors length = PvLog::area_for(rows);
        MemoryQueue device(Sectors(64) + length);
        PvLog log = must(PvLog::open(device, area, length, group));
        must(log.checkpoint(rows, 1));
        must(log.append({{2, std::string(bytes, 'y')}}));
        must(log.checkpoint(rows, 3));
        CHECK(must(PvLog::open(device, area, length, group)).last_change() == 3);
    }
}

TEST_CASE("no area is too small to be refused properly") {
    for (const std::uint64_t sectors : {0U, 1U, 7U, 8U, 15U, 16U, 31U, 32U}) {
        CAPTURE(sectors);
        Fixture f;
        PvLog log = f.open(Sectors(sectors));
        CHECK(log.empty());
        CHECK(log.checkpoint(changes(1, 500), 500).error().code == Errc::out_of_space);
        CHECK(f.open(Sectors(sectors)).empty());
    }
}

TEST_CASE("nothing outside the area is ever written") {
    Fixture f;
    std::fill(f.device.bytes().begin(), f.device.bytes().end(), std::byte(0xa5));
    PvLog log = f.open();
    std::int64_t n = 0;
    for (const std::uint64_t seed : test_seeds(20)) {
        Random random(seed);
        for (int step = 0; step < 20; ++step) {
            const Changes change = large(++n, 1 + random.below(14));
            const auto outcome =
                log.empty() || random.one_in(4) ? log.checkpoint(change, n) : log.append(change);
            REQUIRE((outcome || outcome.error().code == Errc::out_of_space));
        }
    }
    const std::size_t begin = to_bytes(area).n, end = begin + to_bytes(area_length).n;
    for (std::size_t i = 0; i < f.device.bytes().size(); ++i) {
        if ((i < begin || i >= end) && f.device.bytes()[i] != std::byte(0xa5)) FAIL("byte " << i);
    }
}

TEST_CASE("a last record that was torn is no part of the log, and is written over") {
    for (std::size_t kept = 0; kept < 2 * block_size; kept += 512) {
        CAPTURE(kept);
        Fixture f;
        PvLog log = f.filled();
        must(log.append(large(6, 2)));
        // header, checkpoint, three records of a block each
        std::fill(f.at(f.half_of(1), 5) + kept, f.at(f.half_of(1), 7), std::byte(0));
        PvLog again = f.open();
        CHECK(again.last_change() == 5);
        CHECK(must(again.read_all()) == lines(1, 5));
        must(again.append(changes(7, 8)));
        Lines expected = lines(1, 5);
        for (const std::string& l : lines(7, 8)) expected.push_back(l);
        CHECK(f.read() == expected);
        CHECK(f.open().last_change() == 8);
    }
}

TEST_CASE("a bit that changed in a record ends the log before it") {
    for (const std::uint64_t seed : test_seeds(100)) {
        CAPTURE(seed);
        Random random(seed);
        Fixture f;
        f.filled();
        // Byte 12 to 15 are of no use, but are covered by the checksum too.
        const std::size_t byte = seed <= 40 ? seed - 1 : random.below(block_size);
        f.at(f.half_of(1), 3)[byte] ^= static_cast<std::byte>(1 << random.below(8));
        CHECK(f.read() == lines(1, 3));
        CHECK(f.open().last_change() == 3);
    }
}

TEST_CASE("what lies behind a damaged record does not come back once that is written over") {
    Fixture f;
    f.filled();
    f.at(f.half_of(1), 3)[100] ^= std::byte(1);  // the record of change 4; 5 is behind it
    PvLog log = f.open();
    CHECK(log.last_change() == 3);
    must(log.append(changes(4, 7)));  // as a sync would: everything that the log lacks
    CHECK(f.open().last_change() == 7);
    CHECK(f.read() == lines(1, 7));
}

TEST_CASE("records of an older checkpoint in the same half are no part of the log") {
    Fixture f;
    PvLog log = f.filled();              // generation 1
    must(log.checkpoint({}, 5));         // 2, in the other half
    must(log.checkpoint({{6, ""}}, 6));  // 3, over 1
    CHECK(f.open().last_change() == 6);
    CHECK(f.read() == Lines{""});
}

TEST_CASE("records of another group that lie in the area are no part of the log") {
    for (const std::int64_t last : {2, 21}) {  // before and behind the changes of the other group
        CAPTURE(last);
        Fixture f;
        f.filled();
        UuidBytes other = group;
        other[15] = std::byte(1);
        PvLog log = must(PvLog::open(f.device, area, area_length, other));
        must(log.checkpoint(changes(last, last), last));
        PvLog again = must(PvLog::open(f.device, area, area_length, other));
        CHECK(again.last_change() == last);
        CHECK(must(again.read_all()) == lines(last, last));
    }
}

TEST_CASE("a checkpoint that was cut short before its header leaves the log as it was") {
    Fixture f;
    f.filled();
    const std::size_t other = 1 - f.half_of(1);
    std::fill(f.at(other, 1), f.at(other, 1) + 8 * block_size, std::byte('x'));
    CHECK(f.read() == lines(1, 5));
    std::fill(f.at(other, 0), f.at(other, 0) + 512, std::byte('T'));
    CHECK(f.read() == lines(1, 5));
}

TEST_CASE("a damaged header falls back to the half before it") {
    for (const std::uint64_t seed : test_seeds(60)) {
        CAPTURE(seed);
        Random random(seed);
        Fixture f;
        PvLog log = f.filled();
        must(log.checkpoint(changes(10, 12), 12));
        must(log.append(changes(13, 13)));
        const std::size_t newer = f.half_of(2);
        const std::size_t byte = seed <= 60 ? seed - 1 : random.below(block_size);
        f.at(newer, 0)[byte] ^= static_cast<std::byte>(1 << random.below(8));
        CHECK(f.read() == lines(1, 5));
        CHECK(f.open().last_change() == 5);
    }
}

TEST_CASE("after a fall back, a new checkpoint brings nothing of the lost one with it") {
    Fixture f;
    PvLog log = f.filled();
    must(log.checkpoint(changes(10, 12), 12));
    for (std::int64_t n = 13; n <= 15; ++n) must(log.append(changes(n, n)));
    f.at(f.half_of(2), 0)[100] ^= std::byte(1);
    PvLog fallen = f.open();
    CHECK(fallen.last_change() == 5);
    must(fallen.checkpoint(changes(20, 21), 21));
    CHECK(f.open().last_change() == 21);
    CHECK(f.read() == lines(20, 21));
}

TEST_CASE("both headers damaged: an empty log, which takes a checkpoint") {
    Fixture f;
    PvLog log = f.filled();
    must(log.checkpoint(changes(10, 12), 12));
    for (const std::size_t half : {0U, 1U}) f.at(half, 0)[100] ^= std::byte(1);
    PvLog again = f.open();
    CHECK(again.empty());
    CHECK(must(again.read_all()).empty());
    must(again.checkpoint(changes(20, 21), 21));
    CHECK(f.read() == lines(20, 21));
}

TEST_CASE("a damaged checkpoint is corrupt: its rows are not made up for") {
    Fixture f;
    f.filled();
    f.at(f.half_of(1), 1)[5] ^= std::byte(1);
    auto outcome = f.open().read_all();
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().code == Errc::corrupt);
    CHECK_THAT(outcome.error().text, Catch::Matchers::ContainsSubstring("checksum"));
}

TEST_CASE("a log of another group or of a newer version is no log of ours") {
    Fixture f;
    f.filled();
    UuidBytes other = group;
    other[15] = std::byte(1);
    CHECK(must(PvLog::open(f.device, area, area_length, other)).empty());
    const std::size_t half = f.half_of(1);
    store_le<std::uint32_t>(f.at(half, 0) + 12, 2);
    f.seal_header(half);
    CHECK(f.open().empty());
}

TEST_CASE("lengths that a header cannot have meant are not believed") {
    for (const std::uint64_t bytes :
         {std::uint64_t{15 * block_size + 1}, std::uint64_t{1} << 32, std::uint64_t{1} << 63,
          max64 - block_size, max64 - 1, max64}) {
        CAPTURE(bytes);
        Fixture f;
        f.filled();
        const std::size_t half = f.half_of(1);
        store_le(f.at(half, 0) + 48, bytes);
        f.seal_header(half);
        auto log = PvLog::open(f.device, area, area_length, group);
        if (log) CHECK((log->empty() || !log->read_all().has_value()));
        else CHECK(log.error().code == Errc::corrupt);
    }
}

TEST_CASE("a header in an area that cannot hold one is not believed") {
    const std::uint64_t sectors = GENERATE(0U, 1U, 8U, 15U, 16U);
    const std::uint64_t bytes = GENERATE(as<std::uint64_t>{}, 1, 1 << 20, max64 / 2, max64);
    CAPTURE(sectors, bytes);
    Fixture f;
    f.filled();
    const std::size_t half = f.half_of(1);
    store_le(f.at(half, 0) + 48, bytes);
    f.seal_header(half);
    std::copy_n(f.at(half, 0), block_size, f.at(0, 0));  // wherever the small area has its headers
    auto log = PvLog::open(f.device, area, Sectors(sectors), group);
    if (log) CHECK((log->empty() || !log->read_all().has_value()));
}

TEST_CASE("an area longer than the device is an error, whatever its header says") {
    const std::uint64_t sectors = GENERATE(as<std::uint64_t>{}, 4096, 1ULL << 56, max64);
    CAPTURE(sectors);
    Fixture f;
    f.filled();
    std::copy_n(f.at(f.half_of(1), 0), block_size, f.at(0, 0));
    CHECK_FALSE(PvLog::open(f.device, area, Sectors(sectors), group).has_value());
}

TEST_CASE("lengths that a record cannot have meant end the log before it") {
    for (const std::uint32_t bytes : {std::uint32_t{block_size - 31}, 11U * 4096 + 1, 1U << 20,
                                      0x80000000U, 0xffffffe0U, 0xffffffffU}) {
        CAPTURE(bytes);
        Fixture f;
        f.filled();
        std::byte* record = f.at(f.half_of(1), 3);
        store_le(record + 8, bytes);
        store_le<std::uint32_t>(record + 4, 0);
        store_le(record + 4, crc32c({record, block_size}));
        CHECK(f.read() == lines(1, 3));
    }
}

TEST_CASE("a generation that nobody can have reached does not swallow the next checkpoint") {
    Fixture f;
    f.filled();
    const std::size_t half = f.half_of(1);
    store_le(f.at(half, 0) + 16, max64);
    f.seal_header(half);
    PvLog log = f.open();
    must(log.checkpoint(changes(1, 4), 4));
    CHECK(f.open().last_change() == 4);
    CHECK(f.read() == lines(1, 4));
}

TEST_CASE("whatever is appended and checkpointed, reopening finds just that") {
    for (const std::uint64_t seed : test_seeds(30)) {
        CAPTURE(seed);
        Random random(seed);
        Fixture f;
        Lines expected;
        std::int64_t n = 0;
        for (int step = 0; step < 60; ++step) {
            PvLog log = f.open();
            REQUIRE(log.last_change() == n);
            REQUIRE(must(log.read_all()) == expected);
            const Changes change =
                random.one_in(3)
                    ? Changes{{n + 1, std::string(random.below(30000), 'q')}}
                    : changes(n + 1, n + 1 + static_cast<std::int64_t>(random.below(60)));
            const bool checkpoint = log.empty() || random.one_in(5);
            const auto outcome =
                checkpoint ? log.checkpoint(change, change.back().seq) : log.append(change);
            if (!outcome) {
                REQUIRE(outcome.error().code == Errc::out_of_space);
                continue;
            }
            if (checkpoint) expected.clear();
            for (const auto& c : change) expected.push_back(c.json);
            n = change.back().seq;
        }
    }
}

TEST_CASE("a power cut leaves the log as it was before or after what was being written") {
    for (const std::uint64_t seed : test_seeds(10)) {
        CAPTURE(seed);
        Random random(seed);
        Trace trace;
        const std::vector<std::byte> initial(to_bytes(Sectors(1024)).n);
        SimDevice device(trace, 0, initial, seed);
        struct State {
            Lines lines;
            std::size_t begun, done;
        };
        std::vector<State> states{{{}, 0, 0}};
        PvLog log = must(PvLog::open(device, area, area_length, group));
        std::int64_t n = 0;
        while (states.size() < 25) {
            const auto count = static_cast<std::int64_t>(1 + random.below(150));
            const bool checkpoint = log.empty() || random.one_in(4);
            const std::size_t begun = trace.position();
            const Changes change = changes(n + 1, n + count);
            const auto outcome =
                checkpoint ? log.checkpoint(change, n + count) : log.append(change);
            if (!outcome) {
                REQUIRE(outcome.error().code == Errc::out_of_space);
                continue;
            }
            Lines now = checkpoint ? Lines() : states.back().lines;
            for (const auto& c : change) now.push_back(c.json);
            states.push_back({std::move(now), begun, trace.position()});
            n += count;
        }
        for (CrashImages crash(trace, {initial});; crash.step()) {
            const std::size_t cut = crash.position();
            for (const CrashPolicy policy :
                 {CrashPolicy::none, CrashPolicy::all, CrashPolicy::prefix, CrashPolicy::random,
                  CrashPolicy::torn, CrashPolicy::only_one}) {
                CAPTURE(cut, static_cast<int>(policy));
                MemoryQueue after(Sectors(1024));
                after.bytes() = crash.cut(policy, random).front();
                PvLog left = must(PvLog::open(after, area, area_length, group));
                const Lines lines_left = must(left.read_all());
                const bool allowed =
                    std::any_of(states.begin(), states.end(), [&](const State& state) {
                        const State* next = &state + 1;
                        const bool overtaken =
                            next != states.data() + states.size() && next->done <= cut;
                        return state.begun <= cut && !overtaken && state.lines == lines_left;
                    });
                REQUIRE(allowed);
            }
            if (crash.at_end()) break;
        }
    }
}

TEST_CASE("an opening with a mark finds what one without it finds, whatever the mark says") {
    Fixture f;
    PvLog log = f.filled();
    const auto opened = [&](const std::optional<PvLog::Mark>& mark) {
        return must(PvLog::open(f.device, area, area_length, group, mark));
    };
    const PvLog::Mark last = log.mark().value();
    must(log.append(changes(6, 7)));  // since the mark was taken
    const PvLog::Mark newest = log.mark().value();
    std::vector<PvLog::Mark> marks{last, newest};
    for (PvLog::Mark wrong : {last, newest}) {
        wrong.before ^= 1;
        marks.push_back(wrong);
    }
    for (const std::uint64_t sector :
         {0UL, 64UL, 65UL, last.at.n + 1, last.at.n + 8, 319UL, 320UL, max64}) {
        marks.push_back({last.generation, Sector(sector), last.before});
        marks.push_back({last.generation, Sector(sector), newest.before});
    }
    marks.push_back({last.generation + 1, last.at, last.before});
    for (const PvLog::Mark& mark : marks) {
        CAPTURE(mark.generation, mark.at.n, mark.before);
        PvLog again = opened(mark);
        CHECK(again.last_change() == 7);
        REQUIRE(again.mark().has_value());
        CHECK(again.mark()->at == newest.at);
        CHECK(again.mark()->before == newest.before);
    }
    PvLog again = opened(last);
    must(again.append(changes(8, 8)));
    CHECK(f.read() == lines(1, 8));
}

TEST_CASE("a mark of records that a checkpoint has taken the place of is of no consequence") {
    Fixture f;
    PvLog log = f.filled();
    const auto old = log.mark();
    must(log.checkpoint(changes(1, 5), 5));
    CHECK_FALSE(log.mark().has_value());
    PvLog again = must(PvLog::open(f.device, area, area_length, group, old));
    CHECK(again.last_change() == 5);
    must(again.append(changes(6, 6)));
    CHECK(f.read() == lines(1, 6));
}

TEST_CASE("a marked record that was damaged since is not the end of the log") {
    Fixture f;
    PvLog log = f.filled();
    const auto mark = log.mark();
    std::byte* record = f.device.bytes().data() + to_bytes(mark->at).n;
    record[40] ^= std::byte(1);
    PvLog again = must(PvLog::open(f.device, area, area_length, group, mark));
    CHECK(again.last_change() == 4);
    must(again.append(changes(6, 6)));
    CHECK(f.read() == Lines{line(1), line(2), line(3), line(4), line(6)});
}

}  // namespace thinvol
