#include "tests/fuzz/damaged_metadata.h"

#include <algorithm>
#include <cstring>

#include "engine/superblock.h"
#include "engine/thin_metadata.h"

namespace thinvol {
namespace {

constexpr std::size_t rows_max = 64;
constexpr BlockKind kinds[] = {BlockKind::superblock, BlockKind::metadata_index, BlockKind::bitmap,
                               BlockKind::mapping_node};

struct Sound {
    std::vector<std::byte> bytes;
    std::vector<std::uint64_t> used;
    std::vector<BlockKind> kind;  // of each of those
};

void commit(ThinMetadata& md, MemoryQueue& device) {
    const SealedCommit sealed = must(md.seal());
    for (Frame* frame : sealed.frames)
        must(write_now(device, to_sector(frame->at), frame->block()));
    must(write_now(device, Sector(0), sealed.superblock));
    for (const DataBlock b : md.settle(sealed)) md.hand_back(b);
    md.trim();
}

// An origin, three snapshots between which it was rewritten here and there, so that trees have two
// levels, counts go past two; a metadata snapshot; a volume without mappings.
void make_pool(MemoryQueue& device) {
    auto md = must(ThinMetadata::format(device, data_block_min, DamagedMetadata::data_blocks, {}));
    const auto write = [&](std::uint64_t from, std::uint64_t step) {
        ThinDevice& origin = *must(md->device(ThinId::checked(0)));
        for (std::uint64_t b = from; b < DamagedMetadata::mapped; b += step)
            must(md->insert(origin, VirtualBlock(b), must(md->reserve())));
    };
    must(md->create_thin(ThinId::checked(0)));
    write(0, 1);
    commit(*md, device);
    for (std::uint64_t s = 1; s <= 3; ++s) {
        must(md->create_snapshot(ThinId::checked(s), ThinId::checked(0)));
        write(s, 75);
        commit(*md, device);
    }
    must(md->reserve_metadata_snapshot());
    commit(*md, device);
    must(md->create_thin(ThinId::checked(9)));
    write(7, 100);
    commit(*md, device);
}

const Sound& sound() {
    static const Sound made = [] {
        MemoryQueue device(to_sectors(Bytes(DamagedMetadata::blocks * metadata_block_bytes)));
        make_pool(device);
        Sound s;
        s.bytes = device.bytes();
        for (std::uint64_t b = 0; b < DamagedMetadata::blocks; ++b) {
            const ConstBlockBytes block(s.bytes.data() + b * metadata_block_bytes,
                                        metadata_block_bytes);
            const auto* const kind = std::find_if(std::begin(kinds), std::end(kinds), [&](auto k) {
                return load_le<std::uint32_t>(block.data()) == checksum_of(k, block);
            });
            if (kind == std::end(kinds)) continue;
            s.used.push_back(b);
            s.kind.push_back(*kind);
        }
        return s;
    }();
    return made;
}

// Numbers at which something changes.
std::uint64_t telling(std::uint64_t which) {
    static constexpr std::uint64_t numbers[] = {0,          1,
                                                2,          3,
                                                4,          125,
                                                126,        127,
                                                251,        252,
                                                253,        254,
                                                300,        3999,
                                                4000,       4001,
                                                16319,      16320,
                                                16321,      (1 << 24) - 1,
                                                1 << 24,    0x7fffffff,
                                                0x80000000, 0xffffffff,
                                                1ULL << 32, max_data_block,
                                                1ULL << 40, (1ULL << 40) << 23,
                                                ~0ULL >> 1, ~0ULL - 1,
                                                ~0ULL};
    return numbers[which % std::size(numbers)];
}

class Image {
public:
    Image() : bytes_(sound().bytes), kind_(sound().kind) {}

    void apply(std::uint8_t what, std::size_t rank, std::size_t offset, std::uint64_t number) {
        const std::size_t last = metadata_block_bytes - 8;
        std::byte* const at = block(rank) + std::min(offset, last);
        std::byte* const word = block(rank) + std::min(offset / 8 * 8, last);
        switch (what % 8) {
            case 0: store_le<std::uint64_t>(word, number); break;
            case 1: store_le<std::uint32_t>(at, static_cast<std::uint32_t>(number)); break;
            case 2: *at = static_cast<std::byte>(number); break;
            case 3: store_le<std::uint64_t>(word, telling(number)); break;
            case 4: become(rank, number % sound().used.size()); break;
            case 5: std::swap_ranges(word, word + 8, block(rank) + number % (last / 8) * 8); break;
            case 6: store_le(block(rank) + 16, static_cast<std::uint32_t>(telling(number))); break;
            default:  // a pointer to another block in use
                store_le(word, sound().used[number % sound().used.size()]);
                break;
        }
        if (what < 240) seal(rank);
    }
    std::vector<std::byte>&& bytes() && { return std::move(bytes_); }

private:
    std::byte* block(std::size_t rank) {
        return bytes_.data() + sound().used[rank] * metadata_block_bytes;
    }
    void become(std::size_t rank, std::size_t other) {
        std::copy_n(block(other), metadata_block_bytes, block(rank));
        kind_[rank] = kind_[other];
    }
    void seal(std::size_t rank) {
        store_le<std::uint64_t>(block(rank) + 8, sound().used[rank]);
        const ConstBlockBytes whole(block(rank), metadata_block_bytes);
        store_le(block(rank), checksum_of(kind_[rank], whole));
    }
    std::vector<std::byte> bytes_;
    std::vector<BlockKind> kind_;
};

}  // namespace

MemoryQueue DamagedMetadata::make(FuzzInput& input) {
    Image image;
    for (std::size_t i = 0; i < rows_max && !input.empty(); ++i) {
        const auto what = input.byte();
        const std::size_t rank = input.byte() % blocks_in_use().size();
        const auto offset = input.number<std::uint16_t>();
        image.apply(what, rank, offset, input.number<std::uint64_t>());
    }
    MemoryQueue device{Sectors(0)};
    device.bytes() = std::move(image).bytes();
    return device;
}

const std::vector<std::uint64_t>& DamagedMetadata::blocks_in_use() { return sound().used; }

}  // namespace thinvol

// libFuzzer's own mutations move rows out of step; these change them as rows.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t n, std::size_t most);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t n, std::size_t most,
                                               unsigned seed) {
    constexpr std::size_t row = thinvol::DamagedMetadata::row_bytes;
    std::size_t rows = n == 0 ? 0 : (n - 1) / row;
    if (n == 0) data[n++] = 0;
    const auto pick = [&](std::size_t bound) {
        seed = seed * 1103515245 + 12345;
        return bound == 0 ? 0 : (seed >> 8) % bound;
    };
    if (pick(8) == 0) data[0] = static_cast<std::uint8_t>(pick(256));
    const std::size_t how = pick(8);
    if (how < 2 && 1 + (rows + 1) * row <= most) {
        const std::size_t at = 1 + pick(rows + 1) * row;
        std::memmove(data + at + row, data + at, 1 + rows * row - at);
        for (std::size_t i = 0; i < row; ++i)
            data[at + i] = static_cast<std::uint8_t>(i > 4 ? 0 : pick(256));
        // Where fields are, more often than between them.
        if (pick(2) == 0) {
            data[at + 2] &= 0xf8;
            data[at + 3] = static_cast<std::uint8_t>(pick(2));
        }
        ++rows;
    } else if (how == 2 && rows > 0) {
        const std::size_t at = 1 + pick(rows) * row;
        std::memmove(data + at, data + at + row, 1 + rows * row - at - row);
        --rows;
    } else if (rows > 0) {
        std::uint8_t* const at = data + 1 + pick(rows) * row;
        if (how == 3) at[0] = static_cast<std::uint8_t>(pick(8));
        else if (how == 4) at[1] = static_cast<std::uint8_t>(pick(256));
        else if (how == 5) LLVMFuzzerMutate(at + 2, 2, 2);
        else LLVMFuzzerMutate(at + 4, 8, 8);
    }
    return 1 + rows * row;
}
