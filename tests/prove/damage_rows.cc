// S23, S24, S27, S28, S32: metadata that were damaged by chance, by an enemy, or cut off; and those
// that nobody may change.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "engine/base/crc32c.h"
#include "engine/check.h"
#include "engine/metadata_builder.h"
#include "engine/metadata_space_map.h"
#include "engine/repair.h"
#include "engine/repair_roots.h"
#include "engine/run_now.h"
#include "tests/prove/rows.h"
#include "tests/prove/workloads.h"

namespace thinvol {
namespace {

Result<std::vector<MetadataBlock>> blocks_in_use(MemoryQueue& device) {
    const Superblock sb = TRY(Superblock::read(device));
    BlockCache cache(device, MetadataBlocks(sb.metadata_space_map.blocks), 0);
    const auto map = TRY(MetadataSpaceMap::load(cache, sb.metadata_space_map));
    std::vector<MetadataBlock> blocks;
    for (std::uint64_t b = 0; b < map.size().n; ++b)
        if (map.count(MetadataBlock(b)) > 0) blocks.push_back(MetadataBlock(b));
    return blocks;
}

MemoryQueue queue_of(const std::vector<std::byte>& image) {
    MemoryQueue queue(to_sectors(Bytes(image.size())));
    queue.bytes() = image;
    return queue;
}

std::span<std::byte, metadata_block_bytes> block_of(MemoryQueue& device, MetadataBlock at) {
    return std::span<std::byte, metadata_block_bytes>(
        device.bytes().data() + at.n * metadata_block_bytes, metadata_block_bytes);
}

bool finds_nothing(MemoryQueue& device) {
    const auto report = check_metadata(device);
    return report && report->clean();
}

// --- what an enemy writes ------------------------------------------------------------------------

constexpr BlockKind all_kinds[] = {BlockKind::superblock, BlockKind::metadata_index,
                                   BlockKind::bitmap, BlockKind::mapping_node};

// By whose salt its checksum is right.
BlockKind kind_of(ConstBlockBytes block) {
    for (const BlockKind kind : all_kinds)
        if (load_le<std::uint32_t>(block.data()) == checksum_of(kind, block)) return kind;
    return BlockKind::mapping_node;
}

// Numbers that a careless reader believes.
std::uint64_t tempting(Random& random, std::span<const MetadataBlock> blocks,
                       std::uint64_t device_size) {
    switch (random.below(10)) {
        case 0: return 0;
        case 1: return 1;
        case 2: return ~0ULL;
        case 3: return 1ULL << random.below(64);
        case 4: return device_size - 1 + random.below(3);
        case 5: return random.below(300);
        case 6: return (random.below(300) << 24) | random.below(8);  // a mapping
        case 7: return random();
        default: return blocks[random.below(blocks.size())].n;
    }
}

// One change of what a block means; its checksum is right again. What identifies it.
std::uint64_t mutate(MemoryQueue& device, std::span<const MetadataBlock> blocks, Random& random) {
    const MetadataBlock at =
        random.one_in(6) ? MetadataBlock(0) : blocks[random.below(blocks.size())];
    const auto block = block_of(device, at);
    const BlockKind kind = kind_of(block);
    const std::uint64_t device_size = device.bytes().size() / metadata_block_bytes;
    const std::uint64_t value = tempting(random, blocks, device_size);
    std::byte* const p = block.data();
    const auto word = [&](std::uint64_t from, std::uint64_t to) {  // one of these bytes
        const std::uint64_t where = from + random.below((to - from) / 4) * 4;
        if (random.one_in(2) || where + 8 > to)
            store_le<std::uint32_t>(p + where, static_cast<std::uint32_t>(value));
        else store_le<std::uint64_t>(p + where, value);
    };
    const NodeView node(p);
    if (kind == BlockKind::superblock) {
        word(32, sizeof(DiskSuperblock));
    } else if (kind != BlockKind::mapping_node) {
        word(8, 16 + 16 * 64);
    } else if (random.one_in(3)) {
        word(4, sizeof(DiskNodeHeader));
    } else {
        const std::uint64_t entries = std::clamp<std::uint64_t>(node.entries(), 1, 300);
        const std::uint64_t most = std::clamp<std::uint64_t>(node.max_entries(), 1, 336);
        const std::uint64_t i = random.below(entries);
        const std::uint64_t key = sizeof(DiskNodeHeader) + 8 * i;
        const std::uint64_t size = std::clamp<std::uint64_t>(node.value_size(), 4, 32);
        const std::uint64_t held = std::min<std::uint64_t>(
            sizeof(DiskNodeHeader) + 8 * most + size * i, metadata_block_bytes - 32);
        if (random.one_in(3)) store_le<std::uint64_t>(p + key, value);
        else word(held, held + size);
    }
    store_le(p, checksum_of(kind, block));
    return at.n << 32 | crc32c(block);
}

// Uses a pool whatever it is: every read, and each kind of change. How it ends does not matter, as
// long as it does.
void use(MemoryQueue& md, MemoryQueue& data, Random& random) {
    PoolOptions options;
    options.features.error_if_no_space = true;
    auto opened = Pool::open(md, data, options);
    if (!opened) return;
    Pool& pool = **opened;
    const auto ids = pool.volume_ids();
    constexpr Bytes size{8 << 16};
    std::vector<std::byte> bytes(size.n);
    for (std::size_t i = 0; ids && i < std::min<std::size_t>(ids->size(), 6); ++i) {
        const ThinId id = (*ids)[i];
        ignore(pool.volume_use(id), "any outcome will do");
        auto volume = pool.open_volume(id, size, false);
        if (!volume) continue;
        for (const IoKind kind :
             {IoKind::read, IoKind::write, IoKind::discard, IoKind::write_zeroes, IoKind::flush}) {
            IoRequest request;
            request.kind = kind;
            request.volume = *volume;
            request.offset = ByteOffset(kind == IoKind::read ? 0 : random.below(6) << 16);
            request.length = kind == IoKind::read    ? size
                             : kind == IoKind::flush ? Bytes(0)
                                                     : Bytes(1 << 16);
            request.buffer = bytes.data();
            ignore(submit_now(pool, request), "any outcome will do");
        }
        pool.close_volume(**volume);
        const TransactionId now = pool.status().transaction_id;
        ignore(apply_now(pool, {CreateSnapshot{ThinId::checked(9000 + i), id}}, now, now.next()),
               "any outcome will do");
    }
    if (ids && !ids->empty()) {
        const TransactionId now = pool.status().transaction_id;
        ignore(apply_now(pool, {RemoveThin{ids->front()}}, now, now.next()), "any outcome will do");
    }
    ignore(pool.settle(), "any outcome will do");
}

// As whoever activates each volume, reads it, flushes it and deactivates it again.
Result<> read_and_close(MemoryQueue& md, MemoryQueue& data) {
    constexpr Bytes size{8 << 16};
    std::vector<std::byte> bytes(size.n);
    auto pool = TRY(Pool::open(md, data, {}));
    for (const ThinId id : TRY(pool->volume_ids())) {
        Volume* const volume = TRY(pool->open_volume(id, size, false));
        for (const IoKind kind : {IoKind::read, IoKind::flush}) {
            IoRequest request;
            request.kind = kind;
            request.volume = volume;
            request.length = kind == IoKind::read ? size : Bytes(0);
            request.buffer = bytes.data();
            TRY(submit_now(*pool, request));
        }
        pool->close_volume(*volume);
    }
    return pool->settle();
}

// The image as a repair makes it anew, or nothing.
Result<std::vector<std::byte>> repaired(MemoryQueue& damaged) {
    const PoolOverrides known{.data_block_size = Sectors(128)};
    const RepairPlan plan = TRY(plan_repair(damaged, known));
    MemoryQueue target(damaged.size());
    MetadataBuilder builder(target, {.overrides = known, .count_mapped = true});
    TRY(walk_contents(damaged, plan.contents, {.subtrees = true, .judge = plan.survey.get()},
                      builder));
    return target.bytes();
}

}  // namespace

// S23: single bits of blocks in use. Of the quick lane some bits, else each one of an eighth of the
// blocks of an image; the superblock always.
Outcome flipped_bits_are_found(const Budget& budget) {
    Outcome outcome;
    std::uint64_t missed = 0;
    for_cases(budget, 0, outcome, [&](std::uint64_t number) {
        MemoryQueue device = queue_of(lived_pool(number / 8)[0]);
        const auto blocks = blocks_in_use(device);
        if (!blocks || !finds_nothing(device)) {
            outcome.failure = fmt::format("--replay {}: the image is not sound", number);
            return;
        }
        const std::uint64_t step = budget.lane == ProofLane::quick && !budget.replay ? 41 : 1;
        for (std::size_t i = 0; i < blocks->size(); ++i) {
            if (i % 8 != number % 8 && (i > 0 || number % 8 != 1)) continue;
            const auto block = block_of(device, (*blocks)[i]);
            for (std::uint64_t bit = number % step; bit < block.size() * 8; bit += step) {
                block[bit / 8] ^= std::byte(1U << bit % 8);
                ++outcome.executed;
                outcome.distinct.insert(number << 40 | (*blocks)[i].n << 20 | bit);
                const bool found = !finds_nothing(device);
                block[bit / 8] ^= std::byte(1U << bit % 8);
                if (found) continue;
                ++missed;
                outcome.failure = fmt::format("--replay {}: bit {} of block {} is not missed",
                                              number, bit, (*blocks)[i]);
            }
        }
    });
    outcome.value = missed == 0 ? "100%" : fmt::format("{} missed", missed);
    return outcome;
}

// S24: fields, keys, pointers and counts changed by an enemy who knows the checksum.
Outcome forged_metadata_do_no_harm(const Budget& budget) {
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t number) {
        const CrashImages::Images images = lived_pool(number);
        MemoryQueue data = queue_of(images[1]);
        MemoryQueue device = queue_of(images[0]);
        const auto blocks = blocks_in_use(device);
        if (!blocks) return;
        Random random(number);
        for (int round = 0; round < 200; ++round) {
            device.bytes() = images[0];
            std::uint64_t identity = number;
            for (std::uint64_t n = 1 + random.below(3); n > 0; --n)
                identity = identity * 0x9e3779b97f4a7c15 + mutate(device, *blocks, random);
            ++outcome.executed;
            outcome.distinct.insert(identity);
            ignore(check_metadata(device), "any outcome will do");
            if (round % 8 == 0) ignore(repaired(device), "any outcome will do");
            use(device, data, random);
        }
    });
    return outcome;
}

// S27: neither check nor repair writes to what it is given; a repair is sound, and repaired again
// the same; a check finds nothing in it, and says the same twice.
Outcome judging_changes_nothing(const Budget& budget) {
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t number) {
        const CrashImages::Images images = lived_pool(number);
        MemoryQueue device = queue_of(images[0]);
        const auto blocks = blocks_in_use(device);
        if (!blocks) return;
        Random random(number);
        for (std::uint64_t n = number % 4; n > 0; --n) {
            const auto block = block_of(device, (*blocks)[random.below(blocks->size())]);
            block[random.below(block.size())] ^= std::byte(1U << random.below(8));
        }
        ++outcome.executed;
        outcome.distinct.insert(crc32c(device.bytes()));
        const std::vector<std::byte> before = device.bytes();
        const auto first = check_metadata(device);
        const auto second = check_metadata(device);
        const auto fail = [&](const char* text) {
            outcome.failure = fmt::format("--replay {}: {}", number, text);
        };
        if (first.has_value() != second.has_value() ||
            (first && first->findings.size() != second->findings.size()))
            return fail("two checks differ");
        const auto once = repaired(device);
        if (device.bytes() != before) return fail("the input was changed");
        if (!once) return;
        MemoryQueue mended = queue_of(*once);
        if (!finds_nothing(mended)) return fail("what was repaired is not sound");
        const auto twice = repaired(mended);
        if (!twice || *twice != *once) return fail("repaired twice it is not the same");
    });
    return outcome;
}

// S32: a pool that is opened, looked at and closed has the same bytes.
Outcome opening_changes_nothing(const Budget& budget) {
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t number) {
        const CrashImages::Images images = lived_pool(number);
        MemoryQueue md = queue_of(images[0]);
        MemoryQueue data = queue_of(images[1]);
        if (const auto used = read_and_close(md, data); !used)
            outcome.failure = fmt::format("--replay {}: {}", number, used.error().text);
        ++outcome.executed;
        outcome.distinct.insert(crc32c(images[0]));
        for (const auto& [queue, image] :
             {std::pair(&md, &images[0]), std::pair(&data, &images[1])})
            if (queue->bytes() != *image)
                outcome.failure = fmt::format("--replay {}: the {} device was changed", number,
                                              queue == &md ? "metadata" : "data");
    });
    return outcome;
}

// S28: an image that ends after each of its blocks.
Outcome cut_off_images_are_refused(const Budget& budget) {
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t number) {
        const CrashImages::Images images = lived_pool(number);
        MemoryQueue data = queue_of(images[1]);
        const std::uint64_t all = images[0].size() / metadata_block_bytes;
        for (std::uint64_t length = 0; length < all && outcome.failure.empty(); ++length) {
            std::vector<std::byte> shorter = images[0];
            shorter.resize(length * metadata_block_bytes);
            MemoryQueue device = queue_of(shorter);
            ++outcome.executed;
            outcome.distinct.insert(number << 32 | length);
            const auto opened = Pool::open(device, data, {});
            const auto fail = [&](const char* text) {
                outcome.failure =
                    fmt::format("--replay {}, {} of {} blocks: {}", number, length, all, text);
            };
            if (finds_nothing(device)) fail("the check finds nothing");
            else if (opened) fail("the pool opens");
            else if (opened.error().text.empty()) fail("no reason is told");
            ignore(repaired(device), "any outcome will do");
        }
    });
    return outcome;
}

}  // namespace thinvol
