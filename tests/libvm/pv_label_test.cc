// Goal: a label comes back as it was written, a torn or damaged one leaves the copy before it, and
// nothing that is no sound label is taken for one.
// Method: a device in memory, whose bytes are changed at the offsets that the header lists.
#include "libvm/pv_label.h"

#include <algorithm>
#include <limits>

#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "engine/base/crc32c.h"
#include "engine/base/le.h"
#include "libvm/group_log.h"
#include "tests/support/crash_images.h"
#include "tests/support/metadata_fixture.h"
#include "tests/support/seed.h"
#include "tests/support/sim_device.h"

namespace thinvol {
namespace {

using Catch::Matchers::ContainsSubstring;

constexpr std::size_t block_size = 4096;
constexpr std::array<std::size_t, 2> copies{4096, 8192};

UuidBytes uuid(int filler) {
    UuidBytes bytes;
    bytes.fill(static_cast<std::byte>(filler));
    return bytes;
}

PvLabel sample() {
    PvLabel label;
    label.pv = uuid(0x11);
    label.group = uuid(0x22);
    label.environment = uuid(0x33);
    label.size = Sectors(1 << 20);
    label.data_start = pv_data_start;
    label.extent_size = Sectors(8192);
    label.log_at = pv_first_log;
    label.log_length = Sectors(2016);
    label.io_mode = IoMode::direct;
    label.group_name = "vg0";
    return label;
}

// A device with both copies: sequence 1 and then `names.size()` of them.
struct Labelled {
    MemoryQueue device{Sectors(4096)};
    PvLabel label = sample();

    explicit Labelled(const std::vector<std::string>& names = {"first", "second"}) {
        for (const std::string& name : names) write(name);
    }
    void write(const std::string& name) {
        label.group_name = name;
        must(write_label(device, label));
    }
    std::byte* at(std::size_t copy) { return device.bytes().data() + copies[copy]; }
    // The copy that holds that sequence number.
    std::size_t holder(std::uint64_t sequence) {
        for (std::size_t c = 0; c < copies.size(); ++c) {
            if (load_le<std::uint64_t>(at(c) + 16) == sequence) return c;
        }
        FAIL("no copy has sequence " << sequence);
        return 0;
    }
    void seal(std::size_t copy) {
        store_le<std::uint32_t>(at(copy) + 8, 0);
        store_le(at(copy) + 8, crc32c({at(copy), block_size}));
    }
    std::string name_read() { return must(read_label(device)).group_name; }
    Error refusal() {
        auto label_read = read_label(device);
        REQUIRE_FALSE(label_read.has_value());
        return label_read.error();
    }
};

}  // namespace

TEST_CASE("a label comes back as it was written") {
    Labelled l({"vg0"});
    const PvLabel label = must(read_label(l.device));
    CHECK(label.sequence == l.label.sequence);
    CHECK(label.pv == uuid(0x11));
    CHECK(label.group == uuid(0x22));
    CHECK(label.environment == uuid(0x33));
    CHECK(label.size == Sectors(1 << 20));
    CHECK(label.data_start == pv_data_start);
    CHECK(label.extent_size == Sectors(8192));
    CHECK(label.log_at == pv_first_log);
    CHECK(label.log_length == Sectors(2016));
    CHECK(label.io_mode == IoMode::direct);
    CHECK(label.group_name == "vg0");

    l.label.io_mode = IoMode::buffered;
    l.write("vg1");
    CHECK(must(read_label(l.device)).io_mode == IoMode::buffered);
}

TEST_CASE("fields lie where the header says, little-endian") {
    Labelled l({"vg0"});
    const std::byte* at = l.at(l.holder(l.label.sequence));
    CHECK(std::string_view(reinterpret_cast<const char*>(at), 8) == "THINVOL\n");
    CHECK(load_le<std::uint32_t>(at + 12) == 1);
    CHECK(load_le<std::uint64_t>(at + 16) == l.label.sequence);
    CHECK(at[24] == std::byte(0x11));
    CHECK(at[40] == std::byte(0x22));
    CHECK(at[56] == std::byte(0x33));
    CHECK(load_le<std::uint64_t>(at + 72) == 1 << 20);
    CHECK(load_le<std::uint64_t>(at + 80) == 2048);
    CHECK(load_le<std::uint64_t>(at + 88) == 8192);
    CHECK(load_le<std::uint64_t>(at + 96) == 32);
    CHECK(load_le<std::uint64_t>(at + 104) == 2016);
    CHECK(load_le<std::uint32_t>(at + 112) == 1);
    CHECK(std::string_view(reinterpret_cast<const char*>(at) + 120) == "vg0");
    const std::vector<std::byte> rest(at + 248, at + block_size);
    CHECK(rest == std::vector<std::byte>(block_size - 248));
}

TEST_CASE("each label written is the one that is read") {
    Labelled l(std::vector<std::string>{});
    std::uint64_t before = 0;
    for (const char* name : {"a", "b", "c", "d", "e"}) {
        l.write(name);
        const PvLabel label = must(read_label(l.device));
        CHECK(label.group_name == name);
        CHECK(label.sequence > before);
        before = label.sequence;
    }
}

TEST_CASE("labels are written nowhere but in their two blocks") {
    MemoryQueue device(Sectors(4096));
    std::fill(device.bytes().begin(), device.bytes().end(), std::byte(0xa5));
    PvLabel label = sample();
    must(write_label(device, label));
    must(write_label(device, label));
    must(wipe_label(device));
    for (std::size_t i = 0; i < device.bytes().size(); ++i) {
        const bool in_a_copy = i >= copies[0] && i < copies[1] + block_size;
        if (device.bytes()[i] != std::byte(in_a_copy ? 0 : 0xa5)) FAIL("byte " << i);
    }
}

TEST_CASE("a name of the group that is too long is cut, and harms nothing behind it") {
    Labelled l({std::string(127, 'x')});
    CHECK(l.name_read() == std::string(127, 'x'));
    l.write(std::string(5000, 'y'));
    CHECK(l.name_read() == std::string(127, 'y'));
    CHECK(must(read_label(l.device)).io_mode == IoMode::direct);
}

TEST_CASE("a name without an end is read no further than its field") {
    Labelled l({"vg0"});
    const std::size_t copy = l.holder(l.label.sequence);
    std::fill(l.at(copy) + 120, l.at(copy) + 248, std::byte('z'));
    std::fill(l.at(copy) + 248, l.at(copy) + 300, std::byte('w'));
    l.seal(copy);
    CHECK(l.name_read() == std::string(128, 'z'));
}

TEST_CASE("a write that was torn leaves the label from before") {
    Labelled l({"old", "new"});
    const std::size_t newer = l.holder(l.label.sequence);
    for (std::size_t kept = 0; kept < block_size; kept += 512) {
        CAPTURE(kept);
        Labelled torn({"old", "new"});
        std::fill(torn.at(newer) + kept, torn.at(newer) + block_size, std::byte(0x5a));
        CHECK(torn.name_read() == "old");
    }
}

TEST_CASE("after a torn write the next label does not touch the one that is good") {
    Labelled l({"old", "torn"});
    l.at(l.holder(l.label.sequence))[100] ^= std::byte(1);
    PvLabel label = must(read_label(l.device));
    CHECK(label.group_name == "old");
    const std::size_t good = l.holder(label.sequence);
    const std::vector<std::byte> before(l.at(good), l.at(good) + block_size);
    label.group_name = "next";
    must(write_label(l.device, label));
    CHECK(std::equal(before.begin(), before.end(), l.at(good)));
    CHECK(l.name_read() == "next");
}

TEST_CASE("a bit that changed anywhere in both copies is corrupt, or no label at all") {
    for (const std::uint64_t seed : test_seeds(200)) {
        CAPTURE(seed);
        Random random(seed);
        Labelled l;
        for (std::size_t copy = 0; copy < copies.size(); ++copy) {
            const std::size_t byte = seed <= 20 ? seed - 1 : random.below(block_size);
            l.at(copy)[byte] ^= static_cast<std::byte>(1 << random.below(8));
        }
        const Errc code = l.refusal().code;
        REQUIRE((code == Errc::corrupt || code == Errc::not_found));
    }
}

TEST_CASE("damage is told from a device that never was a physical volume") {
    MemoryQueue empty(Sectors(4096));
    const auto none = read_label(empty);
    REQUIRE_FALSE(none.has_value());
    CHECK(none.error().code == Errc::not_found);
    CHECK_THAT(none.error().text, ContainsSubstring("not a physical volume"));

    std::fill(empty.bytes().begin(), empty.bytes().end(), std::byte(0xff));
    CHECK(read_label(empty).error().code == Errc::not_found);

    Labelled both;
    for (std::size_t copy = 0; copy < copies.size(); ++copy) both.at(copy)[72] ^= std::byte(1);
    CHECK(both.refusal().code == Errc::corrupt);
    CHECK_THAT(both.refusal().text, ContainsSubstring("checksum"));

    // One copy damaged, the other never written, whichever of them it is.
    for (const auto& names : {std::vector<std::string>{"a"}, std::vector<std::string>{"a", "b"}}) {
        Labelled one(names);
        const std::size_t copy = one.holder(one.label.sequence);
        one.at(copy)[200] ^= std::byte(1);
        std::fill_n(one.at(1 - copy), block_size, std::byte(0));
        CHECK(one.refusal().code == Errc::corrupt);
    }
}

TEST_CASE("a label of a newer version is refused by its number") {
    Labelled l;
    for (std::size_t copy = 0; copy < copies.size(); ++copy) {
        store_le<std::uint32_t>(l.at(copy) + 12, 7);
        l.seal(copy);
    }
    CHECK(l.refusal().code == Errc::unsupported);
    CHECK_THAT(l.refusal().text, ContainsSubstring("version 7"));
}

TEST_CASE("what a newer program wrote over one copy is not overruled by the older one") {
    Labelled l;
    const std::size_t newer = l.holder(l.label.sequence);
    store_le<std::uint32_t>(l.at(newer) + 12, 2);
    l.seal(newer);
    CHECK(l.refusal().code == Errc::unsupported);
}

TEST_CASE("a device too small for a label has none, and the write says so") {
    for (const std::uint64_t sectors : {0U, 1U, 8U, 16U, 24U, 2047U}) {
        CAPTURE(sectors);
        MemoryQueue device{Sectors(sectors)};
        CHECK(read_label(device).error().code == Errc::not_found);
    }
    MemoryQueue device(Sectors(8));
    PvLabel label = sample();
    CHECK_FALSE(write_label(device, label).has_value());
    CHECK_FALSE(wipe_label(device).has_value());
}

TEST_CASE("a label that was wiped is gone, both copies of it") {
    Labelled l({"a", "b", "c"});
    must(wipe_label(l.device));
    CHECK(l.refusal().code == Errc::not_found);
    PvLabel again = sample();
    again.group_name = "again";
    must(write_label(l.device, again));
    CHECK(l.name_read() == "again");
}

TEST_CASE("numbers that nobody can have meant are handed on as they are, without harm") {
    constexpr std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
    Labelled l({"vg0"});
    const std::size_t copy = l.holder(l.label.sequence);
    for (std::size_t field = 72; field <= 104; field += 8) store_le(l.at(copy) + field, max);
    store_le<std::uint32_t>(l.at(copy) + 112, 99);
    l.seal(copy);
    const PvLabel label = must(read_label(l.device));
    CHECK(label.size == Sectors(max));
    CHECK(label.data_start == Sectors(max));
    CHECK(label.extent_size == Sectors(max));
    CHECK(label.log_at == Sector(max));
    CHECK(label.log_length == Sectors(max));
}

TEST_CASE("a log that the label puts outside the device is an error, never an abort") {
    constexpr std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
    const auto [at, length] = GENERATE_COPY(table<std::uint64_t, std::uint64_t>({
        {4096, 2016},
        {4000, 2016},
        {max / 512, 16},
        {max / 2, 16},
        {max, 16},
        {max, max},
        {max - 8, 32},
        {32, max},
    }));
    CAPTURE(at, length);
    MemoryQueue device(Sectors(4096));
    PvLabel label = sample();
    label.log_at = Sector(at);
    label.log_length = Sectors(length);
    must(write_label(device, label));
    CHECK_FALSE(open_group_log(device, label.group).has_value());
}

TEST_CASE("a power cut leaves the label that was promised, or the one being written") {
    for (const std::uint64_t seed : test_seeds(20)) {
        CAPTURE(seed);
        Random random(seed);
        Trace trace;
        const std::vector<std::byte> initial(to_bytes(Sectors(4096)).n);
        SimDevice device(trace, 0, initial, seed);
        PvLabel label = sample();
        std::vector<std::size_t> begun, done;  // of each label, by its sequence number less one
        for (int i = 0; i < 6; ++i) {
            begun.push_back(trace.position());
            must(write_label(device, label));
            done.push_back(trace.position());
        }
        for (CrashImages crash(trace, {initial});; crash.step()) {
            const std::size_t cut = crash.position();
            for (const CrashPolicy policy :
                 {CrashPolicy::none, CrashPolicy::all, CrashPolicy::random, CrashPolicy::torn}) {
                CAPTURE(cut, static_cast<int>(policy));
                MemoryQueue after(Sectors(4096));
                after.bytes() = crash.cut(policy, random).front();
                const auto left = read_label(after);
                const auto promised = static_cast<std::uint64_t>(std::count_if(
                    done.begin(), done.end(), [&](std::size_t at) { return at <= cut; }));
                const auto possible = static_cast<std::uint64_t>(std::count_if(
                    begun.begin(), begun.end(), [&](std::size_t at) { return at <= cut; }));
                const std::uint64_t sequence = left ? left->sequence : 0;
                REQUIRE(promised <= sequence);
                REQUIRE(sequence <= possible);
            }
            if (crash.at_end()) break;
        }
    }
}

}  // namespace thinvol
