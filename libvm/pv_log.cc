#include "libvm/pv_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "engine/base/crc32c.h"
#include "engine/base/le.h"
#include "engine/base/zeroes.h"

namespace thinvol {
namespace {

constexpr std::uint32_t log_version = 1;
constexpr std::uint64_t block_bytes = 4096;
constexpr Sectors block_sectors{8};
constexpr std::array<char, 8> header_magic{'T', 'V', 'L', 'O', 'G', 'H', 'D', 'R'};
constexpr std::array<char, 4> record_magic{'T', 'V', 'L', 'R'};

struct DiskHeader {
    std::array<char, 8> magic;
    le32 crc;
    le32 version;
    le64 generation;
    UuidBytes group;
    le64 last_change;
    le64 bytes;
    le32 text_crc;
};
static_assert(sizeof(DiskHeader) == 60);

struct DiskRecord {
    std::array<char, 4> magic;
    le32 crc;
    le32 bytes;
    le32 before;  // checksum of the header or record that it follows
    le64 generation;
    le64 last_change;
};
static_assert(sizeof(DiskRecord) == 32);

// Memory for whole blocks, aligned as O_DIRECT wants it.
class Blocks {
public:
    explicit Blocks(std::uint64_t bytes)
        : size_(divide_up(bytes, block_bytes) * block_bytes),
          bytes_(static_cast<std::byte*>(::operator new(size_, std::align_val_t(block_bytes)))) {
        std::memset(bytes_, 0, size_);
    }
    Blocks(const Blocks&) = delete;
    Blocks& operator=(const Blocks&) = delete;
    ~Blocks() { ::operator delete(bytes_, std::align_val_t(block_bytes)); }
    std::span<std::byte> span() { return {bytes_, size_}; }

private:
    std::uint64_t size_;
    std::byte* bytes_;
};

std::string text_of(const std::vector<Catalog::Change>& changes) {
    std::string text;
    for (const auto& change : changes) {
        text += change.json;
        text += '\n';
    }
    return text;
}

Sectors sectors_for(std::uint64_t bytes) {
    return to_sectors(Bytes(divide_up(bytes, block_bytes) * block_bytes));
}

// The checksum of a block run whose own checksum field lies at `field`.
std::uint32_t crc_without(std::span<std::byte> bytes, std::size_t field) {
    const auto stored = load_le<std::uint32_t>(bytes.data() + field);
    store_le<std::uint32_t>(bytes.data() + field, 0);
    const std::uint32_t crc = crc32c(bytes);
    store_le<std::uint32_t>(bytes.data() + field, stored);
    return crc;
}

}  // namespace

Result<PvLog::Header> PvLog::read_header(Sector at) {
    Blocks block(block_bytes);
    TRY(read_now(device_, at, block.span()));
    blank_ = blank_ && all_zero(block.span());
    DiskHeader disk;
    std::memcpy(&disk, block.span().data(), sizeof disk);
    const bool valid = disk.magic == header_magic &&
                       disk.crc.get() == crc_without(block.span(), offsetof(DiskHeader, crc)) &&
                       disk.version.get() == log_version && disk.group == group_ &&
                       disk.generation.get() < ~std::uint64_t{0} &&
                       disk.bytes.get() <= to_bytes(half_).n - block_bytes;
    if (!valid) return Header{};
    return Header{disk.generation.get(), static_cast<std::int64_t>(disk.last_change.get()),
                  disk.bytes.get(), disk.text_crc.get(), disk.crc.get()};
}

Result<PvLog> PvLog::open(BlockQueue& device, Sector at, Sectors length, const UuidBytes& group,
                          const std::optional<Mark>& mark) {
    if (length > device.size() || at > end_of(device.size() - length))
        return Error(Errc::corrupt,
                     fmt::format("the group's log: sector {} length {} is outside the device of {}",
                                 at, length, device.size()));
    PvLog log(device, at, Sectors(length.n / 2 / block_sectors.n * block_sectors.n), group);
    if (log.half_ < block_sectors * 2) return log;
    for (const Sector half : {log.at_, log.at_ + log.half_}) {
        const Header header = TRY(log.read_header(half));
        if (header.generation > log.generation_) {
            log.header_ = header;
            log.generation_ = header.generation;
        }
    }
    log.last_change_ = log.header_.last_change;
    if (log.empty()) return log;
    const auto ignored = [](std::string_view) {};
    const Sector end = log.half_at(log.generation_) + log.half_;
    const bool fits = mark && mark->generation == log.generation_ &&
                      mark->at >= log.first_record() && mark->at < end &&
                      (mark->at - log.first_record()).n % block_sectors.n == 0;
    if (fits) {
        log.tail_ = mark->at;
        log.tail_crc_ = mark->before;
        TRY(log.scan_on(ignored));
        if (log.tail_ != mark->at) return log;  // the marked record is there
    }
    TRY(log.scan(ignored));
    return log;
}

Sector PvLog::first_record() const {
    return half_at(generation_) + block_sectors +
           sectors_for(std::max<std::uint64_t>(1, header_.bytes));
}

template <class Visit>
Result<> PvLog::scan(Visit&& visit) {
    tail_ = first_record();
    tail_crc_ = header_.own_crc;
    last_change_ = header_.last_change;
    mark_.reset();
    return scan_on(visit);
}

template <class Visit>
Result<> PvLog::scan_on(Visit&& visit) {
    const Sector end = half_at(generation_) + half_;
    // Mostly there is the marked record and nothing behind it.
    std::uint64_t window_bytes = 2 * block_bytes;
    for (; tail_ < end; window_bytes = 64 * 1024) {
        std::optional<Blocks> window(std::in_place,
                                     std::min(window_bytes, to_bytes(end - tail_).n));
        TRY(read_now(device_, tail_, window->span()));
        std::uint64_t used = 0;
        while (used < window->span().size()) {
            auto rest = window->span().subspan(used);
            DiskRecord disk;
            std::memcpy(&disk, rest.data(), sizeof disk);
            const std::uint64_t whole =
                divide_up(sizeof disk + disk.bytes.get(), block_bytes) * block_bytes;
            if (disk.magic != record_magic || disk.generation.get() != generation_ ||
                disk.before.get() != tail_crc_ || whole > to_bytes(end - tail_).n - used) {
                tail_ += to_sectors(Bytes(used));
                return {};
            }
            if (whole > rest.size()) {
                if (used > 0) break;  // read on from here
                window.emplace(whole);
                TRY(read_now(device_, tail_, window->span()));
                rest = window->span();
            }
            rest = rest.first(whole);
            if (disk.crc.get() != crc_without(rest, offsetof(DiskRecord, crc))) {
                tail_ += to_sectors(Bytes(used));
                return {};
            }
            visit(std::string_view(reinterpret_cast<const char*>(rest.data()) + sizeof disk,
                                   disk.bytes.get()));
            last_change_ = static_cast<std::int64_t>(disk.last_change.get());
            mark_ = Mark{generation_, tail_ + to_sectors(Bytes(used)), tail_crc_};
            tail_crc_ = disk.crc.get();
            used += whole;
        }
        tail_ += to_sectors(Bytes(used));
    }
    return {};
}

Result<> PvLog::append(const std::vector<Catalog::Change>& changes) {
    ASSERT(!empty());
    ASSERT(!changes.empty());
    const std::string text = text_of(changes);
    Blocks record(sizeof(DiskRecord) + text.size());
    const Sectors length = to_sectors(Bytes(record.span().size()));
    if (tail_ + length > half_at(generation_) + half_)
        return Error(Errc::out_of_space, "the group's log is full");
    DiskRecord disk{};
    disk.magic = record_magic;
    disk.bytes.set(static_cast<std::uint32_t>(text.size()));
    disk.before.set(tail_crc_);
    disk.generation.set(generation_);
    disk.last_change.set(static_cast<std::uint64_t>(changes.back().seq));
    std::memcpy(record.span().data(), &disk, sizeof disk);
    std::memcpy(record.span().data() + sizeof disk, text.data(), text.size());
    const std::uint32_t crc = crc32c(record.span());
    store_le(record.span().data() + offsetof(DiskRecord, crc), crc);
    TRY(write_now(device_, tail_, record.span(), true));
    mark_ = Mark{generation_, tail_, tail_crc_};
    tail_ += length;
    tail_crc_ = crc;
    last_change_ = changes.back().seq;
    return {};
}

Sectors PvLog::area_for(const std::vector<Catalog::Change>& rows) {
    constexpr std::uint64_t growth = 4;  // two halves, each with room for as much again
    return sectors_for(growth * (text_of(rows).size() + 64 * block_bytes));
}

Result<> PvLog::checkpoint(const std::vector<Catalog::Change>& rows, std::int64_t last_change) {
    const std::string text = text_of(rows);
    // A quarter of the half is kept for changes; otherwise the next one would be a checkpoint
    // again.
    if (text.size() + block_bytes > to_bytes(half_).n / 4 * 3)
        return Error(Errc::out_of_space, "the group's log area is too small");
    const std::uint64_t generation = generation_ + 1;
    const Sector half = half_at(generation);
    Blocks body(std::max<std::uint64_t>(1, text.size()));
    std::memcpy(body.span().data(), text.data(), text.size());
    TRY(write_now(device_, half + block_sectors, body.span()));
    TRY(flush_now(device_));  // (2) the header makes it count: everything else first
    DiskHeader disk{};
    disk.magic = header_magic;
    disk.version.set(log_version);
    disk.generation.set(generation);
    disk.group = group_;
    disk.last_change.set(static_cast<std::uint64_t>(last_change));
    disk.bytes.set(text.size());
    disk.text_crc.set(crc32c(std::as_bytes(std::span(text))));
    Blocks header(block_bytes);
    std::memcpy(header.span().data(), &disk, sizeof disk);
    const std::uint32_t crc = crc32c(header.span());
    store_le(header.span().data() + offsetof(DiskHeader, crc), crc);
    TRY(write_now(device_, half, header.span(), true));
    generation_ = generation;
    mark_.reset();
    header_ = {generation, last_change, text.size(), disk.text_crc.get(), crc};
    tail_crc_ = crc;
    tail_ = half + block_sectors + sectors_for(std::max<std::uint64_t>(1, text.size()));
    last_change_ = last_change;
    return {};
}

Result<std::vector<std::string>> PvLog::read_all() {
    std::vector<std::string> lines;
    const auto split = [&](std::string_view text) {
        for (std::size_t end; (end = text.find('\n')) != std::string_view::npos;
             text.remove_prefix(end + 1)) {
            lines.emplace_back(text.substr(0, end));
        }
    };
    if (empty()) return lines;
    Blocks body(std::max<std::uint64_t>(1, header_.bytes));
    TRY(read_now(device_, half_at(generation_) + block_sectors, body.span()));
    const auto text = body.span().first(header_.bytes);
    if (crc32c(text) != header_.crc) {
        return Error(Errc::corrupt,
                     fmt::format("the group's log: checkpoint checksum {:#010x}, expected {:#010x}",
                                 crc32c(text), header_.crc));
    }
    split({reinterpret_cast<const char*>(text.data()), text.size()});
    TRY(scan(split));
    return lines;
}

}  // namespace thinvol
