#include "engine/dump.h"

#include <fmt/format.h>

#include <iterator>

#include "engine/bitmap.h"
#include "engine/thin_metadata.h"

namespace thinvol {
namespace {

// Collects text and hands it on in large pieces.
class Writer {
public:
    explicit Writer(const TextSink& sink) : sink_(sink) {}
    template <class... Args>
    Result<> line(fmt::format_string<Args...> text, Args&&... args) {
        fmt::format_to(std::back_inserter(buffer_), text, std::forward<Args>(args)...);
        buffer_.push_back('\n');
        if (buffer_.size() < 64 * 1024) return {};
        return flush();
    }
    Result<> flush() {
        const Result<> outcome = sink_({buffer_.data(), buffer_.size()});
        buffer_.clear();
        return outcome;
    }

private:
    const TextSink& sink_;
    fmt::memory_buffer buffer_;
};

struct Run {
    std::uint64_t origin = 0;
    std::uint64_t data = 0;
    std::uint64_t length = 0;
    std::uint32_t time = 0;

    bool extended_by(std::uint64_t key, const Mapping& m) const {
        return length > 0 && key == origin + length && m.block.n == data + length &&
               m.time.n() == time;
    }
};

Result<> write_run(Writer& out, const Run& run) {
    if (run.length == 0) return {};
    if (run.length == 1) {
        return out.line(R"(    <single_mapping origin_block="{}" data_block="{}" time="{}"/>)",
                        run.origin, run.data, run.time);
    }
    return out.line(
        R"(    <range_mapping origin_begin="{}" data_begin="{}" length="{}" time="{}"/>)",
        run.origin, run.data, run.length, run.time);
}

// Read-only trees over a device: the engine's B-tree with a space map that nobody asks.
class Reader {
public:
    Reader(BlockQueue& device, const Superblock& superblock)
        : cache_(device, MetadataBlocks(superblock.metadata_space_map.blocks), 1024),
          tm_(cache_, MetadataSpaceMap::empty(MetadataBlocks(1)), CommitNumber(0)) {}
    BTree<MappingValue> mappings{tm_, MappingValue{nullptr}};
    BTree<RootValue> roots{tm_, RootValue{nullptr, nullptr}};
    BTree<DetailsValue> details{tm_, {}};
    BTree<IndexValue> bitmaps{tm_, {}};
    BlockCache& cache() { return cache_; }

private:
    BlockCache cache_;
    TransactionManager tm_;
};

Result<> dump_volume(Reader& reader, Writer& out, std::uint64_t id, MetadataBlock root,
                     const VolumeDetails& d) {
    TRY(out.line(R"(  <device dev_id="{}" mapped_blocks="{}" transaction="{}")"
                 R"( creation_time="{}" snap_time="{}">)",
                 id, d.mapped_blocks, d.created_in, d.creation_time, d.snapshotted_time));
    Run run;
    Result<> outcome;
    TRY(reader.mappings.for_range(root, 0, ~0ULL, [&](std::uint64_t key, const Mapping& m) {
        if (run.extended_by(key, m)) {
            ++run.length;
            return true;
        }
        outcome = write_run(out, run);
        run = {key, m.block.n, 1, m.time.n()};
        return outcome.has_value();
    }));
    TRY(std::move(outcome));
    TRY(write_run(out, run));
    return out.line("  </device>");
}

Result<Superblock> read_superblock(BlockQueue& device) {
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
    TRY(within("superblock", read_now(device, Sector(0), bytes)));
    const Superblock sb = TRY(Superblock::decode(bytes));
    if (sb.metadata_space_map.blocks > to_metadata_blocks(device.size()).n) {
        return Error(Errc::corrupt,
                     fmt::format("the metadata device has {} blocks, its superblock says {}",
                                 to_metadata_blocks(device.size()), sb.metadata_space_map.blocks));
    }
    return sb;
}

}  // namespace

Result<> dump_xml(BlockQueue& device, const TextSink& sink) {
    const Superblock sb = TRY(read_superblock(device));
    Reader reader(device, sb);
    Writer out(sink);
    const std::string snapshot =
        sb.held_root == MetadataBlock(0) ? "" : fmt::format(R"( metadata_snap="{}")", sb.held_root);
    TRY(out.line(R"(<superblock uuid="" time="{}" transaction="{}" flags="{}" version="{}")"
                 R"( data_block_size="{}" nr_data_blocks="{}"{}>)",
                 sb.time, sb.transaction_id, sb.needs_check ? 1 : 0, sb.version, sb.data_block_size,
                 sb.data_space_map.blocks, snapshot));
    std::vector<std::pair<std::uint64_t, MetadataBlock>> volumes;
    TRY(reader.roots.for_range(sb.mapping_root, 0, ~0ULL,
                               [&](std::uint64_t id, MetadataBlock root) {
                                   volumes.emplace_back(id, root);
                                   return true;
                               }));
    for (const auto& [id, root] : volumes) {
        const auto details = TRY(reader.details.lookup(sb.details_root, id));
        if (!details)
            return Error(Errc::corrupt, fmt::format("thin id {} has mappings but no details", id));
        TRY(within(fmt::format("thin id {}", id), dump_volume(reader, out, id, root, *details)));
        reader.cache().trim();
    }
    TRY(out.line("</superblock>"));
    return out.flush();
}

Result<> dump_raw(BlockQueue& device, const BlockSink& sink) {
    const Superblock sb = TRY(read_superblock(device));
    BlockCache cache(device, MetadataBlocks(sb.metadata_space_map.blocks), 0);
    const auto map = TRY(MetadataSpaceMap::load(cache, sb.metadata_space_map));
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
    for (std::uint64_t b = 1; b <= map.size().n; ++b) {
        const MetadataBlock at(b % map.size().n);  // block 0 last
        if (map.count(at) == 0) continue;
        TRY(within(fmt::format("metadata block {}", at), read_now(device, to_sector(at), bytes)));
        TRY(sink(at, bytes));
    }
    return {};
}

}  // namespace thinvol
