#include "engine/block_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "engine/node.h"

namespace thinvol {

namespace {
constexpr std::size_t frames_per_slab = 64;

std::uint32_t leaf_value_size_of(BlockKind kind) {
    switch (kind) {
        case BlockKind::top_level_node:
        case BlockKind::mapping_node: return 8;
        case BlockKind::details_node: return sizeof(DiskDetails);
        case BlockKind::bitmap_tree_node: return sizeof(DiskIndexEntry);
        case BlockKind::overflow_node: return 4;
        default: return 0;
    }
}
}  // namespace

struct BlockCache::Slab {
    std::array<Frame, frames_per_slab> frames;
    std::byte* memory = static_cast<std::byte*>(::operator new(
        frames_per_slab * metadata_block_bytes, std::align_val_t(metadata_block_bytes)));
    Slab() {
        for (std::size_t i = 0; i < frames_per_slab; ++i)
            frames[i].bytes = memory + i * metadata_block_bytes;
    }
    Slab(const Slab&) = delete;
    Slab& operator=(const Slab&) = delete;
    ~Slab() { ::operator delete(memory, std::align_val_t(metadata_block_bytes)); }
};

const char* name_of(BlockKind kind) {
    switch (kind) {
        case BlockKind::superblock: return "superblock";
        case BlockKind::metadata_index: return "metadata space map index";
        case BlockKind::bitmap: return "space map bitmap";
        case BlockKind::top_level_node: return "volume tree node";
        case BlockKind::mapping_node: return "mapping tree node";
        case BlockKind::details_node: return "details tree node";
        case BlockKind::bitmap_tree_node: return "bitmap tree node";
        case BlockKind::overflow_node: return "reference count tree node";
    }
    return "block";
}

Result<> check_block(ConstBlockBytes block, MetadataBlock at, BlockKind kind) {
    const auto stored = load_le<std::uint32_t>(block.data());
    const std::uint32_t expected = checksum_of(kind, block);
    if (stored != expected) {
        return Error(Errc::corrupt, fmt::format("checksum {:#010x}, expected {:#010x} of a {}",
                                                stored, expected, name_of(kind)));
    }
    const auto number = load_le<std::uint64_t>(block.data() + 8);
    if (number != at.n) {
        return Error(Errc::corrupt, fmt::format("{} says it is block {}", name_of(kind), number));
    }
    const std::uint32_t leaf_value_size = leaf_value_size_of(kind);
    if (leaf_value_size != 0) TRY(check_node(block, leaf_value_size));
    return {};
}

BlockCache::BlockCache(BlockQueue& device, MetadataBlocks size, std::size_t keep)
    : device_(device), keep_(keep) {
    grow(size);
}

BlockCache::~BlockCache() = default;

void BlockCache::grow(MetadataBlocks size) {
    ASSERT(size.n >= slots_size_);
    auto* grown = static_cast<Frame**>(std::calloc(size.n, sizeof(Frame*)));
    if (grown == nullptr) throw std::bad_alloc();
    if (slots_size_ != 0) std::copy_n(slots_.get(), slots_size_, grown);
    slots_.reset(grown);
    slots_size_ = size.n;
}

Frame& BlockCache::unused_frame() {
    if (unused_.empty()) {
        slabs_.push_back(std::make_unique<Slab>());
        for (Frame& f : slabs_.back()->frames) unused_.push_back(&f);
    }
    Frame& frame = *unused_.back();
    unused_.pop_back();
    ++used_;
    return frame;
}

void BlockCache::release(Frame& frame) {
    slots_[frame.at.n] = nullptr;
    frame.state = Frame::State::unused;
    unused_.push_back(&frame);
    --used_;
}

Result<Frame*> BlockCache::read(MetadataBlock at, BlockKind kind) {
    if (at.n >= slots_size_) {
        return Error(Errc::corrupt, fmt::format("{} {} is outside the metadata device of {} blocks",
                                                name_of(kind), at, slots_size_));
    }
    if (Frame* frame = slots_[at.n]) {
        if (frame->kind != kind) {
            return Error(Errc::corrupt,
                         fmt::format("metadata block {} is used both as {} and as {}", at,
                                     name_of(frame->kind), name_of(kind)));
        }
        frame->recently_used = true;
        return frame;
    }
    Frame& frame = unused_frame();
    frame.at = at;
    frame.kind = kind;
    slots_[at.n] = &frame;
    auto outcome = read_now(device_, to_sector(at), frame.block());
    if (outcome) outcome = check_block(frame.block(), at, kind);
    if (!outcome) {
        release(frame);
        return std::move(outcome).error().prefixed(fmt::format("metadata block {}", at));
    }
    frame.state = Frame::State::clean;
    frame.recently_used = true;
    return &frame;
}

Frame& BlockCache::create(MetadataBlock at, BlockKind kind) {
    ASSERT(at.n < slots_size_);
    Frame* frame = slots_[at.n];
    if (frame != nullptr) {
        ASSERT(frame->state ==
               Frame::State::clean);  // C4: what a commit still writes is never allocated anew
    } else {
        frame = &unused_frame();
        slots_[at.n] = frame;
    }
    frame->at = at;
    frame->kind = kind;
    frame->state = Frame::State::open;
    frame->recently_used = true;
    std::memset(frame->bytes, 0, metadata_block_bytes);
    store_le<std::uint64_t>(frame->bytes + 8, at.n);
    frame->open_slot = static_cast<std::uint32_t>(open_.size());
    open_.push_back(frame);
    return *frame;
}

void BlockCache::drop_open(MetadataBlock at) {
    Frame* frame = slots_[at.n];
    ASSERT(frame != nullptr);
    ASSERT(frame->state == Frame::State::open);
    open_.back()->open_slot = frame->open_slot;
    open_[frame->open_slot] = open_.back();
    open_.pop_back();
    release(*frame);
}

std::vector<Frame*> BlockCache::seal() {
    std::vector<Frame*> sealed;
    sealed.swap(open_);
    std::sort(sealed.begin(), sealed.end(),
              [](const Frame* a, const Frame* b) { return a->at < b->at; });
    for (Frame* frame : sealed) {
        ASSERT(frame->state == Frame::State::open);
        frame->state = Frame::State::sealed;
        store_le<std::uint32_t>(frame->bytes, checksum_of(frame->kind, frame->block()));
        DEBUG_ASSERT(check_block(frame->block(), frame->at, frame->kind).has_value());
    }
    return sealed;
}

void BlockCache::settle(const std::vector<Frame*>& frames) {
    for (Frame* frame : frames) {
        ASSERT(frame->state == Frame::State::sealed);
        frame->state = Frame::State::clean;
    }
}

void BlockCache::trim() {
    const std::size_t all = slabs_.size() * frames_per_slab;
    for (std::size_t steps = 0; used_ > keep_ + open_.size() && steps < 2 * all; ++steps) {
        Frame& frame = slabs_[hand_ / frames_per_slab]->frames[hand_ % frames_per_slab];
        hand_ = (hand_ + 1) % all;
        if (frame.state != Frame::State::clean) continue;
        if (!std::exchange(frame.recently_used, false)) release(frame);
    }
}

}  // namespace thinvol
