#include "libvm/metadata_pack.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/format.h"

namespace thinvol {
namespace {

constexpr std::array<char, 8> magic{'T', 'V', 'M', 'D', 'P', 'A', 'C', 'K'};
constexpr std::uint64_t pack_version = 1;
constexpr std::uint64_t end_mark = ~0ULL;

using Block = std::array<std::byte, metadata_block_bytes>;

struct Close {
    void operator()(gzFile_s* file) const { ::gzclose(file); }
};

class Gzip {
public:
    static Result<Gzip> open(const std::string& path, const char* mode) {
        Gzip gzip(path, ::gzopen(path.c_str(), mode));
        if (gzip.file_ == nullptr)
            return Error(Errc::io_error, fmt::format("{}: {}", path, std::strerror(errno)));
        return gzip;
    }
    Result<> write(std::span<const std::byte> bytes) {
        if (::gzwrite(file_.get(), bytes.data(), static_cast<unsigned>(bytes.size())) > 0)
            return {};
        return failed(Errc::io_error);
    }
    Result<> write(std::uint64_t n) {
        std::array<std::byte, 8> bytes;
        store_le<std::uint64_t>(bytes.data(), n);
        return write(bytes);
    }
    Result<> read(std::span<std::byte> into) {
        const int n = ::gzread(file_.get(), into.data(), static_cast<unsigned>(into.size()));
        if (n == static_cast<int>(into.size())) return {};
        if (n < 0) return failed(Errc::corrupt);
        return Error(Errc::corrupt, fmt::format("{}: it ends in the middle of a block", path_));
    }
    Result<std::uint64_t> number() {
        std::array<std::byte, 8> bytes;
        TRY(read(bytes));
        return load_le<std::uint64_t>(bytes.data());
    }
    Result<> close() {
        gzFile_s* file = file_.release();
        if (::gzclose(file) == Z_OK) return {};
        return Error(Errc::io_error, fmt::format("{}: {}", path_, std::strerror(errno)));
    }

private:
    Gzip(std::string path, gzFile file) : path_(std::move(path)), file_(file) {}
    Error failed(Errc code) const {
        int number = 0;
        const char* text = ::gzerror(file_.get(), &number);
        return {code,
                fmt::format("{}: {}", path_, number == Z_ERRNO ? std::strerror(errno) : text)};
    }
    std::string path_;
    std::unique_ptr<gzFile_s, Close> file_;
};

bool is_metadata(ConstBlockBytes block, MetadataBlock at) {
    if (load_le<std::uint64_t>(block.data() + 8) != at.n) return false;
    const auto stored = load_le<std::uint32_t>(block.data());
    for (const BlockKind kind : {BlockKind::superblock, BlockKind::metadata_index,
                                 BlockKind::bitmap, BlockKind::mapping_node}) {
        if (stored == checksum_of(kind, block)) return true;
    }
    return false;
}

}  // namespace

Result<std::uint64_t> pack_metadata(BlockQueue& device, const std::string& path) {
    constexpr std::uint64_t at_once = 256;
    const MetadataBlocks blocks = std::min(to_metadata_blocks(device.size()), max_metadata_blocks);
    Gzip out = TRY(Gzip::open(path, "wb"));
    TRY(out.write(std::as_bytes(std::span(magic))));
    TRY(out.write(pack_version));
    TRY(out.write(blocks.n));
    std::vector<std::byte> bytes(at_once * metadata_block_bytes);
    std::uint64_t packed = 0;
    for (std::uint64_t first = 0; first < blocks.n; first += at_once) {
        const std::uint64_t n = std::min(at_once, blocks.n - first);
        TRY(within(fmt::format("metadata blocks from {}", first),
                   read_now(device, to_sector(MetadataBlock(first)),
                            std::span(bytes).first(n * metadata_block_bytes))));
        for (std::uint64_t i = 0; i < n; ++i) {
            const ConstBlockBytes block(bytes.data() + i * metadata_block_bytes,
                                        metadata_block_bytes);
            if (first + i != 0 && !is_metadata(block, MetadataBlock(first + i))) continue;
            TRY(out.write(first + i));
            TRY(out.write(block));
            ++packed;
        }
    }
    TRY(out.write(end_mark));
    TRY(out.close());
    return packed;
}

Result<std::uint64_t> unpack_metadata(
    const std::string& path,
    const std::function<Result<std::unique_ptr<BlockQueue>>(MetadataBlocks)>& make) {
    Gzip in = TRY(Gzip::open(path, "rb"));
    std::array<char, magic.size()> found{};
    if (!in.read(std::as_writable_bytes(std::span(found))) || found != magic)
        return Error(Errc::corrupt, fmt::format("{}: it is no metadata pack", path));
    if (const std::uint64_t version = TRY(in.number()); version != pack_version) {
        return Error(Errc::unsupported, fmt::format("{}: its version is {}, this program knows {}",
                                                    path, version, pack_version));
    }
    const MetadataBlocks blocks(TRY(in.number()));
    if (blocks == MetadataBlocks(0) || blocks > max_metadata_blocks) {
        return Error(Errc::corrupt, fmt::format("{}: {} metadata blocks, the format allows {}",
                                                path, blocks, max_metadata_blocks));
    }
    const auto device = TRY(make(blocks));
    Block first{};
    Block block;
    std::uint64_t unpacked = 0;
    for (std::uint64_t least = 0;; ++unpacked) {
        const std::uint64_t at = TRY(in.number());
        if (at == end_mark) break;
        if (at < least || at >= blocks.n) {
            return Error(Errc::corrupt,
                         fmt::format("{}: block {} after {} of {}", path, at, unpacked, blocks));
        }
        TRY(in.read(block));
        if (at == 0) first = block;
        else TRY(write_now(*device, to_sector(MetadataBlock(at)), block));
        least = at + 1;
    }
    TRY(flush_now(*device));
    TRY(write_now(*device, Sector(0), first));
    TRY(flush_now(*device));
    return unpacked;
}

}  // namespace thinvol
