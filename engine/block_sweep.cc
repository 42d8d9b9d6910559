#include "engine/block_sweep.h"

#include <mutex>
#include <new>

namespace thinvol {
namespace {

constexpr std::uint64_t piece_blocks = 64;  // 256 KiB: stays in a processor's cache until visited
constexpr std::uint64_t gap_blocks = 8;     // read along, rather than read twice

struct Piece {
    std::byte* bytes = static_cast<std::byte*>(::operator new(
        piece_blocks * metadata_block_bytes, std::align_val_t(metadata_block_bytes)));
    Piece() = default;
    Piece(const Piece&) = delete;
    Piece& operator=(const Piece&) = delete;
    ~Piece() { ::operator delete(bytes, std::align_val_t(metadata_block_bytes)); }
    std::span<std::byte> part(std::uint64_t from, std::uint64_t blocks) const {
        return {bytes + from * metadata_block_bytes, blocks * metadata_block_bytes};
    }
    ConstBlockBytes block(std::uint64_t i) const {
        return ConstBlockBytes(bytes + i * metadata_block_bytes, metadata_block_bytes);
    }
};

std::size_t end_of_piece(std::span<const MetadataBlock> blocks, std::size_t from) {
    std::size_t to = from + 1;
    while (to < blocks.size() && blocks[to].n - blocks[from].n < piece_blocks &&
           blocks[to].n - blocks[to - 1].n <= gap_blocks)
        ++to;
    return to;
}

}  // namespace

void sweep_blocks(BlockQueue& device, Workers& workers, std::span<const MetadataBlock> blocks,
                  const SweepVisit& visit) {
    std::mutex turn;  // for device and next
    std::size_t next = 0;
    workers.run([&] {
        const Piece piece;
        for (;;) {
            std::span<const MetadataBlock> some;
            Result<> outcome;
            {
                const std::lock_guard lock(turn);
                if (next == blocks.size()) return;
                some = blocks.subspan(next, end_of_piece(blocks, next) - next);
                next += some.size();
                outcome = read_now(device, to_sector(some.front()),
                                   piece.part(0, some.back().n - some.front().n + 1));
            }
            for (const MetadataBlock at : some) {
                const std::uint64_t i = at.n - some.front().n;
                if (!outcome) {  // (2): which of them is it?
                    const std::lock_guard lock(turn);
                    if (auto alone = read_now(device, to_sector(at), piece.part(i, 1)); !alone) {
                        visit(at, std::move(alone).error());
                        continue;
                    }
                }
                visit(at, piece.block(i));
            }
        }
    });
}

}  // namespace thinvol
