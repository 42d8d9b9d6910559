// Node: one B-tree node in its metadata block, read and changed in place.
//
// Units       entries; a key is 8 bytes, a value value_size bytes
// Invariants  (1) keys strictly ascending; a leaf's or an internal node's flag, exactly one of them
//             (2) nr_entries <= max_entries <= max_entries_for(value_size); what we write has the
//                 latter
//             (3) an internal node's key is a lower bound of the keys of its child
// Errors      check_node: corrupt, for bytes that break (1) or (2)
// Threads     externally synchronised
// Source      drivers/md/persistent-data/dm-btree-internal.h
#pragma once

#include <cstring>
#include <string>

#include "engine/format.h"

namespace thinvol {

inline constexpr std::uint32_t node_header_bytes = sizeof(DiskNodeHeader);
// Trees deeper than this do not exist: 84^9 mappings would not fit the format's 40-bit blocks.
inline constexpr unsigned max_tree_depth = 10;

class NodeView {
public:
    explicit NodeView(const std::byte* block) : p_(block) {}

    bool is_leaf() const { return load_le<std::uint32_t>(p_ + 4) == node_flag_leaf; }
    std::uint32_t entries() const { return load_le<std::uint32_t>(p_ + 16); }
    std::uint32_t max_entries() const { return load_le<std::uint32_t>(p_ + 20); }
    std::uint32_t value_size() const { return load_le<std::uint32_t>(p_ + 24); }
    std::uint64_t key(std::uint32_t i) const { return load_le<std::uint64_t>(p_ + key_offset(i)); }
    const std::byte* value(std::uint32_t i) const { return p_ + value_offset(i); }
    MetadataBlock child(std::uint32_t i) const {
        return MetadataBlock(load_le<std::uint64_t>(value(i)));
    }

    // The number of keys < k: where k is, or would go.
    std::uint32_t lower_bound(std::uint64_t k) const {
        const std::byte* keys = p_ + node_header_bytes;
        std::uint32_t first = 0;
        std::uint32_t n = entries();
        while (n > 0) {
            const std::uint32_t half = n / 2;
            const bool right = load_le<std::uint64_t>(keys + 8 * (first + half)) < k;
            first = right ? first + half + 1 : first;
            n = right ? n - half - 1 : half;
        }
        return first;
    }
    bool has(std::uint32_t i, std::uint64_t k) const { return i < entries() && key(i) == k; }
    // Of an internal node: the child whose range k falls in; 0 for a k below all.
    std::uint32_t child_for(std::uint64_t k) const {
        const std::uint32_t i = lower_bound(k);
        if (has(i, k)) return i;
        return i == 0 ? 0 : i - 1;
    }

protected:
    std::size_t key_offset(std::uint32_t i) const { return node_header_bytes + 8UL * i; }
    std::size_t value_offset(std::uint32_t i) const {
        return node_header_bytes + 8UL * max_entries() + std::size_t{value_size()} * i;
    }
    const std::byte* p_;
};

// A leaf, and the keys that are there or nowhere in its tree: [first, last].
struct LeafView {
    NodeView node;
    std::uint64_t first = 0;
    std::uint64_t last = ~0ULL;
};

class Node : public NodeView {
public:
    explicit Node(std::byte* block) : NodeView(block), w_(block) {}

    // Makes the block an empty node; its number must have been set.
    void format(bool leaf, std::uint32_t value_size);
    // Gives a node written with fewer max_entries the layout that we write.
    void normalise();

    void set_entries(std::uint32_t n) { store_le<std::uint32_t>(w_ + 16, n); }
    void set_key(std::uint32_t i, std::uint64_t k) {
        store_le<std::uint64_t>(w_ + key_offset(i), k);
    }
    std::byte* value(std::uint32_t i) { return w_ + value_offset(i); }
    void set_child(std::uint32_t i, MetadataBlock b) { store_le<std::uint64_t>(value(i), b.n); }

    // Opens a gap at i for one entry; the caller fills key and value.
    void open_gap(std::uint32_t i);
    // Removes entries [i, i + n).
    void erase(std::uint32_t i, std::uint32_t n = 1);
    // Appends entries [from, from + n) of `other`, which has the same value size and kind of node.
    void append(const NodeView& other, std::uint32_t from, std::uint32_t n);
    // Puts the last n entries of `left` in front of this node's.
    void take_last_of(Node& left, std::uint32_t n);
    // Appends the first n entries of `right` to this node.
    void take_first_of(Node& right, std::uint32_t n);
    // Copies flags, counts, keys and values, but not checksum and block number.
    void copy_contents_of(const NodeView& other);

private:
    std::byte* w_;
};

// Whether a block read as a node of a tree with that leaf value size may be used.
Result<> check_node(ConstBlockBytes block, std::uint32_t leaf_value_size);

}  // namespace thinvol
