// Goal: S40, S59: a physical volume that somebody else made, whose labels and log have checksums
// that
//       are right, gives a label, rows that belong together, or an error; what is written to it
//       afterwards is read again.
// Method: fields of label and log as the input says, sealed; rows by way of the log itself; then
//       what a command does with them, up to rows in a catalog.
#include <filesystem>

#include "engine/base/crc32c.h"
#include "libvm/group_log.h"
#include "libvm/group_rows.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/support/memory_queue.h"

namespace thinvol {
namespace {

constexpr std::size_t block_bytes = 4096;
constexpr UuidBytes group{std::byte(7)};
constexpr Sector area = pv_first_log;
constexpr Sectors area_length{2 * 8 * 8};

void seal(std::span<std::byte> block, std::size_t field) {
    store_le<std::uint32_t>(block.data() + field, 0);
    store_le(block.data() + field, crc32c(block));
}

// Rows of: an offset, how many bytes, the bytes.
void change(std::span<std::byte> block, FuzzInput& input) {
    for (int i = input.byte() % 8; i > 0; --i) {
        const std::size_t at = input.byte() % 128;
        const auto bytes = input.bytes(input.byte() % 17);
        std::copy(bytes.begin(), bytes.end(), block.begin() + static_cast<long>(at));
    }
}

void write_labels(MemoryQueue& device, FuzzInput& input) {
    PvLabel label;
    label.group = group;
    label.size = device.size();
    label.data_start = pv_data_start;
    label.extent_size = Sectors(2048);
    label.log_at = area;
    label.log_length = area_length;
    label.group_name = "vg0";
    must(write_label(device, label));
    must(write_label(device, label));
    for (const std::size_t at : {1UL, 2UL}) {
        const auto block = std::span(device.bytes()).subspan(at * block_bytes, block_bytes);
        change(block, input);
        if (input.byte() < 250) seal(block, 8);
    }
    const auto read = read_label(device);
    if (!read) return;
    demand(read->group_name.size() < block_bytes, "a name as long as that");
    ignore(open_group_log(device, read->group), "the label may lie about its place");
    PvLabel again = *read;
    if (again.sequence == ~0ULL) return;
    must(write_label(device, again));
}

void write_log(MemoryQueue& device, FuzzInput& input) {
    PvLog log = must(PvLog::open(device, area, area_length, group));
    std::int64_t number = 1;
    must(log.checkpoint({{number, std::string(input.text(input.byte()))}}, number));
    for (int i = input.byte() % 4; i > 0; --i) {
        ++number;
        if (!log.append({{number, std::string(input.text(input.byte()))}})) break;
    }
    const std::size_t half = to_bytes(area_length).n / 2;
    for (const std::size_t at : {0UL, half, half + 2 * block_bytes, half + 3 * block_bytes}) {
        const auto block = std::span(device.bytes()).subspan(to_bytes(area).n + at, block_bytes);
        change(block, input);
        if (input.byte() < 240) seal(block, at % half == 0 ? 8 : 4);
    }
}

struct Home {
    std::filesystem::path dir;
    Catalog catalog;
    Home() : dir(make()), catalog(must(Catalog::open({dir / "state", {}, {}, {}, {}}))) {}
    ~Home() { std::filesystem::remove_all(dir); }
    static std::filesystem::path make() {
        std::string name = "/dev/shm/thinvol-fuzz.XXXXXX";
        demand(::mkdtemp(name.data()) != nullptr, "no directory");
        return name;
    }
};

// As a lost catalog is made anew.
void rebuild(const std::vector<std::string>& changes, bool install) {
    auto rows = GroupRows::replay(changes);
    if (!rows || !rows->check()) return;
    demand(!rows->uuid().empty() && !rows->name().empty(), "a group without a name");
    differences(*rows, GroupRows());
    if (!install) return;
    static Home home;
    const auto transaction = must(home.catalog.begin());  // never committed
    const auto id = install_group(home.catalog, *rows, 1000);
    if (!id) return;
    const GroupRows again = must(GroupRows::of(home.catalog, *id));
    demand(again.check().has_value(), "rows that were right and are not any more");
    demand(again.name() == rows->name(), "another group");
}

}  // namespace
}  // namespace thinvol

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t n) {
    using namespace thinvol;
    FuzzInput input(data, n);
    const std::uint8_t what = input.byte();
    if (what % 4 == 3) {  // rows alone, a line each
        std::vector<std::string> lines(1);
        for (const char c : input.rest()) {
            if (c == '\n') lines.emplace_back();
            else lines.back() += c;
        }
        rebuild(lines, what < 128);
        return 0;
    }
    MemoryQueue device(pv_data_start);
    if (what % 4 == 2) write_labels(device, input);
    write_log(device, input);
    auto log = PvLog::open(device, area, area_length, group);
    if (!log) return 0;
    if (const auto lines = log->read_all()) rebuild(*lines, what < 128);
    if (log->empty()) return 0;
    const std::int64_t next = log->last_change() < (1LL << 62) ? log->last_change() + 1 : 1;
    if (!log->append({{next, "{}"}})) return 0;
    auto again = must(PvLog::open(device, area, area_length, group, log->mark()));
    demand(again.last_change() == next, "a change that was written is not there");
    return 0;
}
