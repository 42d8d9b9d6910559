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
void publish(std::uint64_t& entry, std::uint64_t value) {
    std::atomic_ref(entry).store(value, std::memory_order_release);
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
    constexpr std::uint64_t entry_bytes = ways * page_entries * sizeof(Entry);
    sets_count_ = std::max<std::uint64_t>(limit.n / (sizeof(Set) + entry_bytes), 1);
    const std::size_t set_bytes = sets_count_ * sizeof(Set);
    sets_ = {static_cast<Set*>(reserve_memory(set_bytes)), Release{set_bytes}};
    const std::size_t all_entry_bytes = sets_count_ * entry_bytes;
    entries_ = {static_cast<Entry*>(reserve_memory(all_entry_bytes)), Release{all_entry_bytes}};
}

// Multiplied with the golden ratio, neighbouring pages go to sets that are evenly spread.
MappingCache::Set& MappingCache::set_of(std::uint64_t tag) const {
    __extension__ using Wide = unsigned __int128;
    const std::uint64_t spread = tag * 0x9e3779b97f4a7c15ULL;
    return sets_[static_cast<std::uint64_t>(Wide{spread} * sets_count_ >> 64)];
}

MappingCache::Entry* MappingCache::page_of(const Way& w) const {
    const auto set = static_cast<std::uint64_t>(w.set - sets_.get());
    return &entries_[(set * ways + w.way) * page_entries];
}

MappingCache::Known MappingCache::find(ThinId id, VirtualBlock at) const {
    if (at >= keep_end) return {};
    const std::uint64_t tag = tag_of(id, at);
    Set& set = set_of(tag);
    for (std::uint64_t way = 0; way < ways; ++way) {
        std::atomic_ref version(set.version[way]);
        const std::uint32_t before = version.load(std::memory_order_acquire);
        if (load(set.tag[way]) != tag) continue;
        std::atomic_ref at_entry(page_of({&set, way})[at.n % page_entries]);
        const Entry entry = at_entry.load(std::memory_order_acquire);
        if (before % 2 != 0 || version.load(std::memory_order_relaxed) != before) return {};
        if (load(set.used[way]) == 0) store(set.used[way], 1);
        if (entry == unknown) return {};
        if (entry == unmapped) return {Known::State::unmapped, {}};
        return {Known::State::mapped, unpack(~entry)};
    }
    return {};
}

MappingCache::Way MappingCache::held(std::uint64_t tag) const {
    Set& set = set_of(tag);
    for (std::uint64_t way = 0; way < ways; ++way)
        if (set.tag[way] == tag) return {&set, way};
    return {nullptr, 0};
}

MappingCache::Way MappingCache::take(std::uint64_t tag) {
    if (const Way w = held(tag); w.set != nullptr) return w;
    Set& set = set_of(tag);
    while (load(set.used[set.hand]) != 0) {
        store(set.used[set.hand], 0);
        set.hand = (set.hand + 1) % ways;
    }
    const Way w{&set, set.hand};
    set.hand = (set.hand + 1) % ways;
    give_to(w, tag);
    return w;
}

// See "Memory order".
void MappingCache::give_to(const Way& w, std::uint64_t tag) {
    std::uint32_t& version = w.set->version[w.way];
    store(version, version + 1);
    store(w.set->tag[w.way], tag);
    Entry* page = page_of(w);
    for (std::uint64_t i = 0; i < page_entries; ++i) publish(page[i], unknown);
    std::atomic_ref(version).store(version + 1, std::memory_order_release);
}

void MappingCache::learn(ThinId id, VirtualBlock at, const LeafView& leaf, DataBlock limit) {
    if (at >= keep_end) return;
    const std::uint64_t tag = tag_of(id, at);
    const std::uint64_t first = first_of(tag).n;
    const Way w = take(tag);
    Entry* page = page_of(w);
    store(w.set->used[w.way], 1);
    const std::uint64_t last = std::min(first + page_entries - 1, leaf.last);
    std::uint64_t block = std::max(first, leaf.first);
    std::uint32_t i = leaf.node.lower_bound(block);
    for (; block <= last; ++block) {
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
    const Way w = held(tag_of(id, at));
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
            if (const Way w = held(tag); w.set != nullptr) unmap_in(w, begin, end);
        return;
    }
    for_each_page([&](const Way& w, std::uint64_t tag) {
        if (tag >= from && tag <= to) unmap_in(w, begin, end);
    });
}

void MappingCache::forget(ThinId id) {
    for_each_page([&](const Way& w, std::uint64_t tag) {
        if (belongs_to(tag, id)) give_to(w, 0);
    });
}

template <class Visit>
void MappingCache::for_each_page(Visit&& visit) {
    for (std::uint64_t i = 0; i < sets_count_; ++i) {
        for (std::uint64_t way = 0; way < ways; ++way)
            if (sets_[i].tag[way] != 0) visit(Way{&sets_[i], way}, sets_[i].tag[way]);
    }
}

}  // namespace thinvol
