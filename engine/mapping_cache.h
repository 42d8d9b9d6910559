// MappingCache: mappings of all volumes of a pool, 8 bytes a virtual block, so that a hot lookup is
// two reads of memory and no walk down a tree.
//
// A page holds what is known of 512 neighbouring virtual blocks of one volume. As in a processor's
// cache, volume and page number choose a set, and a page may lie in any of its set's four ways; a
// new one takes the place of one that was not looked at lately (second chance), but only each
// fourth time, so that a volume much larger than the cache does not turn it over for nothing.
// Whether a mapping is shared is not kept but compared anew: a snapshot changes nothing here.
//
// Units       virtual blocks; the limit in bytes, of everything
// Invariants  (1) an entry is unknown, or what the volume's tree says in the open transaction:
//                 whoever changes the tree says so here in the same call
//             (2) no more memory than the limit (or 17 KiB, one set), and none before it is needed
// Errors      none: what is not known is looked up elsewhere
// Threads     find() on any thread, at any time, without a lock; everything else on one thread at a
//             time (the metadata executor). find() beside a change of the same entry gives the old
//             or the new mapping. A thread that goes on to use a data block enters its epoch before
//             it looks (C6).
// Source      the seqlock, for pages that change their owner
//
// Memory order: a page that changes hands has an odd version meanwhile, stored before its new tag
// and before any of its new entries; tags and entries are stored with release and loaded with
// acquire. So whoever loads the tag or an entry of the new owner also sees that the version is no
// longer the one loaded before both, and takes nothing. Versions are 32 bits: a reader would have
// to sleep through 2^31 changes of one page.
#pragma once

#include <memory>

#include "engine/node.h"

namespace thinvol {

class MappingCache {
public:
    explicit MappingCache(Bytes limit);  // of all memory, tags too

    struct Known {
        enum class State : std::uint8_t { unknown, unmapped, mapped } state = State::unknown;
        Mapping mapping{};  // if mapped
    };
    Known find(ThinId id, VirtualBlock at) const;

    // Takes in what a leaf of the volume's tree says about the page around `at`. Mappings to data
    // blocks from `limit` on stay unknown.
    void learn(ThinId id, VirtualBlock at, const LeafView& leaf, DataBlock limit);
    // The tree changed: at is mapped, or nothing is mapped any more from begin up to end, or the
    // volume is gone. What is not in a page stays out.
    void map(ThinId id, VirtualBlock at, Mapping mapping);
    void unmap(ThinId id, VirtualBlock begin, VirtualBlock end);
    void forget(ThinId id);
    // Nobody looks meanwhile. What another transaction said is known no more (C8).
    void clear();

    // Pages that can be held, whose entries are 8 bytes each.
    std::uint64_t pages() const { return sets_count_ * ways; }
    static constexpr std::uint64_t page_entries = 512;

private:
    static constexpr std::uint64_t ways = 4;
    using Entry = std::uint64_t;  // packed and inverted, so that zeroed memory is unknown
    struct alignas(64) Set {      // one line of the processor's cache
        std::uint64_t tag[ways];  // whose page it is; 0: nobody's
        std::uint32_t version[ways];
        std::uint8_t used[ways];  // looked at lately
        std::uint8_t hand;
        std::uint8_t misses;
    };
    struct Release {
        std::size_t bytes;
        void operator()(void* p) const;
    };
    struct Way {
        Set* set;
        std::uint64_t way;
    };
    Set& set_of(std::uint64_t tag) const;
    Entry* page_of(const Way& w) const;
    static Way held_in(Set& set, std::uint64_t tag);  // its set is null: not held
    Way make_room(std::uint64_t tag);
    template <class Fill>
    void give_to(const Way& w, std::uint64_t tag, Fill&& fill);
    static void take_in(Entry* page, std::uint64_t first, const LeafView& leaf, DataBlock limit);
    void unmap_in(const Way& w, VirtualBlock begin, VirtualBlock end);
    template <class Visit>
    void for_each_page(Visit&& visit);

    std::uint64_t sets_count_ = 0;
    std::unique_ptr<Set[], Release> sets_;
    std::unique_ptr<Entry[], Release> entries_;  // way 0 of all sets, then way 1, ...
};

}  // namespace thinvol
