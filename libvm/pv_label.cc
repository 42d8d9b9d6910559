#include "libvm/pv_label.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "engine/base/crc32c.h"
#include "engine/base/le.h"

namespace thinvol {
namespace {

constexpr std::uint32_t label_version = 1;
constexpr std::array<Sector, 2> places{Sector(8), Sector(16)};
constexpr std::array<char, 8> magic{'T', 'H', 'I', 'N', 'V', 'O', 'L', '\n'};

struct DiskLabel {
    std::array<char, 8> magic;
    le32 crc;
    le32 version;
    le64 sequence;
    UuidBytes pv;
    UuidBytes group;
    UuidBytes environment;
    le64 size;
    le64 data_start;
    le64 extent_size;
    le64 log_at;
    le64 log_length;
    le32 io_mode;
    le32 unused;
    std::array<char, 128> group_name;
};
static_assert(sizeof(DiskLabel) == 248);
static_assert(offsetof(DiskLabel, log_length) == 104 && offsetof(DiskLabel, group_name) == 120);

using Block = std::array<std::byte, 4096>;

std::uint32_t crc_of(const Block& block) {
    Block copy = block;
    store_le<std::uint32_t>(copy.data() + offsetof(DiskLabel, crc), 0);
    return crc32c(copy);
}

Result<PvLabel> decode(const Block& block) {
    DiskLabel disk;
    std::memcpy(&disk, block.data(), sizeof disk);
    if (disk.magic != magic) return Error(Errc::not_found, "it is not a physical volume");
    if (disk.crc.get() != crc_of(block)) {
        return Error(Errc::corrupt, fmt::format("label: checksum {:#010x}, expected {:#010x}",
                                                disk.crc.get(), crc_of(block)));
    }
    if (disk.version.get() != label_version) {
        return Error(Errc::unsupported, fmt::format("label: version {}, this program knows {}",
                                                    disk.version.get(), label_version));
    }
    PvLabel label;
    label.sequence = disk.sequence.get();
    label.pv = disk.pv;
    label.group = disk.group;
    label.environment = disk.environment;
    label.size = Sectors(disk.size.get());
    label.data_start = Sectors(disk.data_start.get());
    label.extent_size = Sectors(disk.extent_size.get());
    label.log_at = Sector(disk.log_at.get());
    label.log_length = Sectors(disk.log_length.get());
    label.io_mode = disk.io_mode.get() == 1 ? IoMode::direct : IoMode::buffered;
    label.group_name.assign(disk.group_name.data(),
                            ::strnlen(disk.group_name.data(), disk.group_name.size()));
    return label;
}

Block encode(const PvLabel& label) {
    DiskLabel disk{};
    disk.magic = magic;
    disk.version.set(label_version);
    disk.sequence.set(label.sequence);
    disk.pv = label.pv;
    disk.group = label.group;
    disk.environment = label.environment;
    disk.size.set(label.size.n);
    disk.data_start.set(label.data_start.n);
    disk.extent_size.set(label.extent_size.n);
    disk.log_at.set(label.log_at.n);
    disk.log_length.set(label.log_length.n);
    disk.io_mode.set(label.io_mode == IoMode::direct ? 1 : 0);
    std::copy_n(label.group_name.data(),
                std::min(label.group_name.size(), disk.group_name.size() - 1),
                disk.group_name.data());
    Block block{};
    std::memcpy(block.data(), &disk, sizeof disk);
    store_le<std::uint32_t>(block.data() + offsetof(DiskLabel, crc), crc_of(block));
    return block;
}

}  // namespace

Result<PvLabel> read_label(BlockQueue& device) {
    if (device.size() < pv_data_start) return Error(Errc::not_found, "it is not a physical volume");
    alignas(4096) std::array<Block, places.size()> blocks;  // side by side, read as one
    static_assert(places[1] - places[0] == Sectors(sizeof(Block) / sector_bytes));
    TRY(read_now(device, places[0], std::as_writable_bytes(std::span(blocks))));
    Result<PvLabel> best = Error(Errc::not_found, "it is not a physical volume");
    for (Block& block : blocks) {
        auto label = decode(block);
        if (!label && label.error().code == Errc::unsupported) return label;
        const bool better = label ? !best || label->sequence > best->sequence
                                  : !best && best.error().code == Errc::not_found;
        if (better) best = std::move(label);
    }
    return best;
}

Result<> write_label(BlockQueue& device, PvLabel& label) {
    ++label.sequence;
    alignas(4096) const Block block = encode(label);
    return write_now(device, places[label.sequence % places.size()], block, true);
}

Result<> wipe_label(BlockQueue& device) {
    alignas(4096) constexpr static Block zeroes{};
    for (const Sector place : places) TRY(write_now(device, place, zeroes));
    return flush_now(device);
}

}  // namespace thinvol
