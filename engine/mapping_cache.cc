#include "engine/mapping_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <type_traits>

namespace thinvol {
namespace {

// A tag: owned (bit 63), the thin id (24 bits), the page's number (39 bits).
constexpr unsigned page_bits = 39;
constexpr std::uint64_t page_mask = (1ULL << page_bits) - 1;
constexpr std::uint64_t owned = 1ULL << 63;
// Virtual blocks beyond are not kept: a volume of 16 EiB has fewer.
constexpr VirtualBlock keep_end((page_mask + 1) * MappingCache::page_entries);

// How often a full set is asked for what it has not before it takes a page in.
constexpr unsigned misses_to_enter = 4;

constexpr std::uint64_t unknown = 0;
constexpr std::uint64_t unmapped = 1;

std::uint64_t tag_of(ThinId id, VirtualBlock at) {
    return owned | std::uint64_t{id.n()} << page_bits | at.n / MappingCache::page_entries;
}

VirtualBlock first_of(std::uint64_t tag) {
    return VirtualBlock((tag & page_mask) * MappingCache::page_entries);
}

bool belongs_to(std::uint64_t tag, ThinId id) {
    return tag >> page_bits == (owned >> page_bits | id.n());
}

// The two mappings that would look like unknown and unmapped stay unknown.
std::uint64_t entry_of(Mapping mapping) {
    const std::uint64_t entry = ~pack(mapping);
    return entry == unmapped ? unknown : entry;
}

template <class T>
T load(T& from) {
    return std::atomic_ref(from).load(std::memory_order_relaxed);
}
template <class T>
void store(T& to, std::type_identity_t<T> value) {
    std::atomic_ref(to).store(value, std::memory_order_relaxed);
}
// Of tags, entries and versions; see "Memory order" in the header.
template <class T>
T observe(T& from) {
    return std::atomic_ref(from).load(std::memory_order_acquire);
}
template <class T>
void publish(T& to, std::type_identity_t<T> value) {
    std::atomic_ref(to).store(value, std::memory_order_release);
}

// Zeroed, aligned to a page, and no memory before it is written.
void* reserve_memory(std::size_t bytes) {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return memory;
}

}  // namespace

void MappingCache::Release::operator()(void* p) const { ::munmap(p, bytes); }

MappingCache::MappingCache(Bytes limit) {
    constexpr std::uint64_t page_bytes = page_entries * sizeof(Entry);
    sets_count_ = std::max<std::uint64_t>(limit.n / (sizeof(Set) + ways * page_bytes), 1);
    const std::size_t set_bytes = sets_count_ * sizeof(Set);
    sets_ = {static_cast<Set*>(reserve_memory(set_bytes)), Release{set_bytes}};
    const std::size_t entry_bytes = pages() * page_bytes;
    entries_ = {static_cast<Entry*>(reserve_memory(entry_bytes)), Release{entry_bytes}};
}

// Neighbouring pages go to neighbouring sets; volumes begin at sets far from each other.
MappingCache::Set& MappingCache::set_of(std::uint64_t tag) const {
    const std::uint64_t begin = (tag >> page_bits) * 0x9e3779b97f4a7c15ULL >> 32;
    return sets_[(begin + (tag & page_mask)) % sets_count_];
}

MappingCache::Entry* MappingCache::page_of(const Way& w) const {
    const auto set = static_cast<std::uint64_t>(w.set - sets_.get());
    return &entries_[(w.way * sets_count_ + set) * page_entries];
}

MappingCache::Known MappingCache::find(ThinId id, VirtualBlock at) const {
    if (at >= keep_end) return {};
    const std::uint64_t tag = tag_of(id, at);
    Set& set = set_of(tag);
    for (std::uint64_t way = 0; way < ways; ++way) {
        const std::uint32_t version = observe(set.version[way]);
        if (observe(set.tag[way]) != tag) continue;
        const Entry entry = observe(page_of({&set, way})[at.n % page_entries]);
        if (version % 2 != 0 || load(set.version[way]) != version) return {};
        if (load(set.used[way]) == 0) store(set.used[way], 1);
        if (entry == unknown) return {};
        if (entry == unmapped) return {Known::State::unmapped, {}};
        return {Known::State::mapped, unpack(~entry)};
    }
    return {};
}

MappingCache::Way MappingCache::held_in(Set& set, std::uint64_t tag) {
    for (std::uint64_t way = 0; way < ways; ++way)
        if (set.tag[way] == tag) return {&set, way};
    return {nullptr, 0};
}

// The way whose page goes next; null set: not this time.
MappingCache::Way MappingCache::make_room(std::uint64_t tag) {
    Set& set = set_of(tag);
    const Way empty = held_in(set, 0);
    if (empty.set != nullptr) return empty;
    if (++set.misses % misses_to_enter != 0) return {nullptr, 0};
    for (std::uint64_t step = 0; step < ways && load(set.used[set.hand]) != 0; ++step) {
        store(set.used[set.hand], 0);
        set.hand = (set.hand + 1) % ways;
    }
    const Way w{&set, set.hand};
    set.hand = (set.hand + 1) % ways;
    return w;
}

template <class Fill>
void MappingCache::give_to(const Way& w, std::uint64_t tag, Fill&& fill) {
    std::uint32_t& version = w.set->version[w.way];
    store(version, version + 1);
    publish(w.set->tag[w.way], tag);
    store(w.set->used[w.way], 0);
    fill();
    publish(version, version + 1);
}

void MappingCache::learn(ThinId id, VirtualBlock at, const LeafView& leaf, DataBlock limit) {
    if (at >= keep_end) return;
    const std::uint64_t tag = tag_of(id, at);
    if (const Way w = held_in(set_of(tag), tag); w.set != nullptr)
        return take_in(page_of(w), first_of(tag).n, leaf, limit);
    const Way w = make_room(tag);
    if (w.set == nullptr) return;
    give_to(w, tag, [&] {
        const std::uint64_t first = first_of(tag).n;
        Entry* page = page_of(w);
        for (std::uint64_t b = 0; b < page_entries; ++b)
            if (first + b < leaf.first || first + b > leaf.last) publish(page[b], unknown);
        take_in(page, first, leaf, limit);
    });
}

void MappingCache::take_in(Entry* page, std::uint64_t first, const LeafView& leaf,
                           DataBlock limit) {
    const std::uint64_t last = std::min(first + page_entries - 1, leaf.last);
    std::uint64_t block = std::max(first, leaf.first);
    for (std::uint32_t i = leaf.node.lower_bound(block); block <= last; ++block) {
        Entry entry = unmapped;
        if (leaf.node.has(i, block)) {
            const Mapping mapping = unpack(load_le<std::uint64_t>(leaf.node.value(i++)));
            entry = mapping.block < limit ? entry_of(mapping) : unknown;
        }
        publish(page[block - first], entry);
    }
}

void MappingCache::map(ThinId id, VirtualBlock at, Mapping mapping) {
    if (at >= keep_end) return;
    const std::uint64_t tag = tag_of(id, at);
    const Way w = held_in(set_of(tag), tag);
    if (w.set != nullptr) publish(page_of(w)[at.n % page_entries], entry_of(mapping));
}

void MappingCache::unmap_in(const Way& w, VirtualBlock begin, VirtualBlock end) {
    const std::uint64_t first = first_of(w.set->tag[w.way]).n;
    Entry* page = page_of(w);
    for (std::uint64_t b = std::max(first, begin.n); b < std::min(first + page_entries, end.n); ++b)
        publish(page[b - first], unmapped);
}

void MappingCache::unmap(ThinId id, VirtualBlock begin, VirtualBlock end) {
    end = std::min(end, keep_end);
    if (begin >= end) return;
    const std::uint64_t from = tag_of(id, begin);
    const std::uint64_t to = tag_of(id, VirtualBlock(end.n - 1));
    if (to - from < pages()) {
        for (std::uint64_t tag = from; tag <= to; ++tag)
            if (const Way w = held_in(set_of(tag), tag); w.set != nullptr) unmap_in(w, begin, end);
        return;
    }
    for_each_page([&](const Way& w, std::uint64_t tag) {
        if (tag >= from && tag <= to) unmap_in(w, begin, end);
    });
}

void MappingCache::forget(ThinId id) {
    for_each_page([&](const Way& w, std::uint64_t tag) {
        if (belongs_to(tag, id)) give_to(w, 0, [] {});
    });
}

void MappingCache::clear() {
    for_each_page([&](const Way& w, std::uint64_t) { give_to(w, 0, [] {}); });
}

template <class Visit>
void MappingCache::for_each_page(Visit&& visit) {
    for (std::uint64_t i = 0; i < sets_count_; ++i) {
        for (std::uint64_t way = 0; way < ways; ++way)
            if (sets_[i].tag[way] != 0) visit(Way{&sets_[i], way}, sets_[i].tag[way]);
    }
}

}  // namespace thinvol
