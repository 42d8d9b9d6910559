// BTree: a persistent tree from 64-bit keys to small values; every change leaves the old tree
// whole.
//
// Units       keys as the tree's owner defines them; a root is a metadata block
// Invariants  (1) all leaves at one depth; every node but the root at least a third full, after our
//                 changes
//             (2) an internal node's key is at most the first key of its child and above all keys
//                 of the children before it; removals do not raise it
//             (3) a full node is split on the way down, so a parent always has room for one more
//                 child
// Errors      as TransactionManager's. After a failed change the open transaction must be aborted.
// Threads     externally synchronised (the metadata executor)
// Source      drivers/md/persistent-data/dm-btree.h, dm-btree.c, dm-btree-remove.c
//
// Costs: lookup one read a level; insert and remove one shadow a level and at most two siblings
// each.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "engine/transaction_manager.h"

namespace thinvol {

// What a tree stores. `Type` decodes from `size` bytes; retain() and release() are told about leaf
// values that a copied leaf shares from now on, and about values that a tree no longer holds.
struct OverflowValue {
    using Type = std::uint32_t;
    static constexpr std::uint32_t size = 4;
    static constexpr BlockKind kind = BlockKind::overflow_node;
    static Type decode(const std::byte* p) { return load_le<std::uint32_t>(p); }
    static void encode(std::byte* p, Type v) { store_le<std::uint32_t>(p, v); }
    Result<> retain(const NodeView&) { return {}; }
    Result<> release(Type) { return {}; }
    static bool refers_to_same(Type, Type) { return true; }
};

template <class Value>
class BTree {
public:
    using Type = typename Value::Type;

    BTree(TransactionManager& tm, Value value) : tm_(tm), value_(std::move(value)) {}

    Value& value() { return value_; }

    Result<MetadataBlock> create() {
        Frame* frame = TRY(tm_.create_node(Value::kind, Value::size));
        return frame->at;
    }

    Result<std::optional<Type>> lookup(MetadataBlock root, std::uint64_t key) {
        const LeafView leaf = TRY(leaf_for(root, key));
        const std::uint32_t i = leaf.node.lower_bound(key);
        if (!leaf.node.has(i, key)) return std::optional<Type>();
        return std::optional<Type>(Value::decode(leaf.node.value(i)));
    }

    // The leaf where a key is, or would be. Good until the tree changes or a frame is forgotten.
    Result<LeafView> leaf_for(MetadataBlock root, std::uint64_t key) {
        LeafView leaf{NodeView(TRY(tm_.read(root, Value::kind))->bytes)};
        for (unsigned depth = 0; !leaf.node.is_leaf(); ++depth) {
            if (depth > max_tree_depth) return too_deep(root);
            const NodeView node = leaf.node;
            const std::uint32_t i = node.child_for(key);
            if (key >= node.key(i)) leaf.first = std::max(leaf.first, node.key(i));
            if (i + 1 < node.entries()) leaf.last = std::min(leaf.last, node.key(i + 1) - 1);
            leaf.node = NodeView(TRY(tm_.read(node.child(i), Value::kind))->bytes);
        }
        return leaf;
    }

    struct Entry {
        std::uint64_t key;
        Type value;
    };
    // The entry with the lowest key >= key.
    Result<std::optional<Entry>> next(MetadataBlock root, std::uint64_t key);
    Result<std::optional<Entry>> last(MetadataBlock root);
    // Calls visit(key, value) -> bool for each entry in [begin, end), in order, until it returns
    // false. Checks that each node's keys lie where its parent says: a damaged tree ends as an
    // error, in time.
    template <class Visit>
    Result<> for_range(MetadataBlock root, std::uint64_t begin, std::uint64_t end, Visit&& visit) {
        TRY(visit_node(root, {begin, end}, {0, ~0ULL}, visit, 0));
        return {};
    }

    struct Inserted {
        MetadataBlock root;
        std::optional<Type> replaced;  // the value the key had before
    };
    // Inserts or replaces. A replaced value that refers to something else is released.
    Result<Inserted> insert(MetadataBlock root, std::uint64_t key, const Type& value);

    // Makes the path to an existing key changeable, so that counts below it are right for a change
    // there; gives the place of its value. The caller overwrites it without retain or release.
    struct Slot {
        MetadataBlock root;
        std::byte* value;  // null: the key is not there
    };
    Result<Slot> shadow_path(MetadataBlock root, std::uint64_t key);

    struct Removed {
        MetadataBlock root;
        std::uint64_t entries = 0;
        std::uint64_t next = 0;  // where to go on; `end` when the range is done
    };
    // Removes entries in [begin, end), at most about `limit`, and releases their values.
    Result<Removed> remove_range(MetadataBlock root, std::uint64_t begin, std::uint64_t end,
                                 std::uint64_t limit = ~0ULL);
    Result<Removed> remove(MetadataBlock root, std::uint64_t key) {
        return remove_range(root, key, key + 1);
    }

    // Drops one reference to a tree; releases everything in it that nothing else refers to.
    Result<> drop(MetadataBlock root) { return drop_node(root, 0); }

private:
    static Error too_deep(MetadataBlock root) {
        return {Errc::corrupt, fmt::format("the tree at metadata block {} is deeper than {} levels",
                                           root, max_tree_depth)};
    }
    Result<Frame*> shadow(MetadataBlock at);
    // Entries that move between nodes stay in order: only keys that the parent knows of do.
    Result<Frame*> shadow_child(Node& parent, std::uint32_t i);
    static Result<> check_keys(const Frame& frame, std::uint64_t first, std::uint64_t last);
    static bool full(const NodeView& node, std::uint64_t key) {
        if (node.entries() < node.max_entries()) return false;
        return !node.is_leaf() || !node.has(node.lower_bound(key), key);
    }
    Result<> split_root(Frame& root);
    Result<> make_room(Node& parent, std::uint32_t i, Frame& child);
    Result<> split_in_two(Node& parent, std::uint32_t i, Frame& child);
    Result<> split_in_three(Node& parent, std::uint32_t left, Frame& left_frame,
                            Frame& right_frame);
    void add_child(Node& parent, std::uint32_t i, const Frame& child);
    Result<Inserted> insert_into_leaf(MetadataBlock root, Frame& leaf, std::uint64_t key,
                                      const Type& value);

    Result<std::uint64_t> remove_some(MetadataBlock& root, std::uint64_t key, std::uint64_t end,
                                      std::uint64_t limit);
    Result<> rebalance_children(Node& parent, std::uint32_t i);
    Result<> collapse_single_child(Node& parent);
    Result<> rebalance_pair(Node& parent, std::uint32_t left);
    Result<> rebalance_triple(Node& parent, std::uint32_t left);
    struct KeyRange {
        std::uint64_t begin;
        std::uint64_t end;
    };
    template <class Visit>
    Result<bool> visit_node(MetadataBlock at, KeyRange wanted, KeyRange legal, Visit& visit,
                            unsigned depth);
    // Entries may move between two nodes only if both are leaves or both are not.
    static Result<> check_siblings(const NodeView& a, const NodeView& b) {
        if (a.is_leaf() == b.is_leaf()) return {};
        return Error(Errc::corrupt, fmt::format("a {} has a leaf and an internal node side by side",
                                                name_of(Value::kind)));
    }
    Result<> drop_node(MetadataBlock at, unsigned depth);

    TransactionManager& tm_;
    Value value_;
};

// --- reading -------------------------------------------------------------------------------------

template <class Value>
Result<std::optional<typename BTree<Value>::Entry>> BTree<Value>::next(MetadataBlock root,
                                                                       std::uint64_t key) {
    std::optional<Entry> found;
    TRY(for_range(root, key, ~0ULL, [&](std::uint64_t k, const Type& v) {
        found = Entry{k, v};
        return false;
    }));
    return found;
}

template <class Value>
Result<std::optional<typename BTree<Value>::Entry>> BTree<Value>::last(MetadataBlock root) {
    const NodeView leaf = TRY(leaf_for(root, ~0ULL)).node;
    if (leaf.entries() == 0) return std::optional<Entry>();
    const std::uint32_t i = leaf.entries() - 1;
    return std::optional<Entry>(Entry{leaf.key(i), Value::decode(leaf.value(i))});
}

template <class Value>
template <class Visit>
Result<bool> BTree<Value>::visit_node(MetadataBlock at, KeyRange wanted, KeyRange legal,
                                      Visit& visit, unsigned depth) {
    if (depth > max_tree_depth) return too_deep(at);
    Frame* frame = TRY(tm_.read(at, Value::kind));
    const NodeView node(frame->bytes);
    const std::uint32_t n = node.entries();
    TRY(check_keys(*frame, legal.begin, legal.end));
    if (node.is_leaf()) {
        for (std::uint32_t i = node.lower_bound(wanted.begin); i < n && node.key(i) < wanted.end;
             ++i) {
            if (!visit(node.key(i), Value::decode(node.value(i)))) return false;
        }
        return true;
    }
    for (std::uint32_t i = node.child_for(wanted.begin);
         i < n && (i == 0 || node.key(i) < wanted.end); ++i) {
        const KeyRange child{node.key(i), i + 1 < n ? node.key(i + 1) - 1 : legal.end};
        if (!TRY(visit_node(node.child(i), wanted, child, visit, depth + 1))) return false;
    }
    return true;
}

template <class Value>
Result<> BTree<Value>::check_keys(const Frame& frame, std::uint64_t first, std::uint64_t last) {
    const NodeView node(frame.bytes);
    const std::uint32_t n = node.entries();
    if (n == 0 || (node.key(0) >= first && node.key(n - 1) <= last)) return {};
    return Error(Errc::corrupt,
                 fmt::format("metadata block {}: keys {} to {}, its parent says {} to {}", frame.at,
                             node.key(0), node.key(n - 1), first, last));
}

// --- inserting -----------------------------------------------------------------------------------

template <class Value>
Result<Frame*> BTree<Value>::shadow(MetadataBlock at) {
    const auto [frame, was_shared] = TRY(tm_.shadow(at, Value::kind));
    if (!was_shared) return frame;
    const NodeView node(frame->bytes);
    if (node.is_leaf()) {
        TRY(value_.retain(node));
    } else {
        for (std::uint32_t i = 0; i < node.entries(); ++i) TRY(tm_.increment(node.child(i)));
    }
    return frame;
}

template <class Value>
Result<Frame*> BTree<Value>::shadow_child(Node& parent, std::uint32_t i) {
    Frame* child = TRY(shadow(parent.child(i)));
    parent.set_child(i, child->at);
    TRY(check_keys(*child, parent.key(i),
                   i + 1 < parent.entries() ? parent.key(i + 1) - 1 : ~0ULL));
    return child;
}

template <class Value>
Result<typename BTree<Value>::Inserted> BTree<Value>::insert(MetadataBlock root, std::uint64_t key,
                                                             const Type& value) {
    Frame* frame = TRY(shadow(root));
    const MetadataBlock new_root = frame->at;
    if (full(NodeView(frame->bytes), key)) TRY(split_root(*frame));
    for (unsigned depth = 0; !NodeView(frame->bytes).is_leaf(); ++depth) {
        if (depth > max_tree_depth) return too_deep(root);
        Node node(frame->bytes);
        std::uint32_t i = node.child_for(key);
        if (key < node.key(0)) node.set_key(0, key);  // (2)
        Frame* child = TRY(shadow_child(node, i));
        if (full(NodeView(child->bytes), key)) {
            TRY(make_room(node, i, *child));
            i = node.child_for(key);
            child = TRY(shadow_child(node, i));
        }
        frame = child;
    }
    return insert_into_leaf(new_root, *frame, key, value);
}

template <class Value>
Result<typename BTree<Value>::Inserted> BTree<Value>::insert_into_leaf(MetadataBlock root,
                                                                       Frame& frame,
                                                                       std::uint64_t key,
                                                                       const Type& value) {
    Node leaf(frame.bytes);
    const std::uint32_t i = leaf.lower_bound(key);
    Inserted inserted{root, {}};
    if (leaf.has(i, key)) {
        inserted.replaced = Value::decode(leaf.value(i));
        if (!Value::refers_to_same(*inserted.replaced, value))
            TRY(value_.release(*inserted.replaced));
    } else {
        leaf.open_gap(i);
        leaf.set_key(i, key);
    }
    Value::encode(leaf.value(i), value);
    return inserted;
}

template <class Value>
Result<typename BTree<Value>::Slot> BTree<Value>::shadow_path(MetadataBlock root,
                                                              std::uint64_t key) {
    Frame* frame = TRY(shadow(root));
    const MetadataBlock new_root = frame->at;
    for (unsigned depth = 0; !NodeView(frame->bytes).is_leaf(); ++depth) {
        if (depth > max_tree_depth) return too_deep(root);
        Node node(frame->bytes);
        frame = TRY(shadow_child(node, node.child_for(key)));
    }
    Node leaf(frame->bytes);
    const std::uint32_t i = leaf.lower_bound(key);
    return Slot{new_root, leaf.has(i, key) ? leaf.value(i) : nullptr};
}

// The root keeps its block: whoever refers to it need not be told. Its halves move to two new
// children.
template <class Value>
Result<> BTree<Value>::split_root(Frame& root) {
    Node node(root.bytes);
    Frame* left = TRY(tm_.create_node(Value::kind, Value::size));
    Frame* right = TRY(tm_.create_node(Value::kind, Value::size));
    Node l(left->bytes);
    Node r(right->bytes);
    l.format(node.is_leaf(), node.value_size());
    r.format(node.is_leaf(), node.value_size());
    const std::uint32_t half = node.entries() / 2;
    l.append(node, 0, half);
    r.append(node, half, node.entries() - half);
    node.format(false, 8);
    add_child(node, 0, *left);
    add_child(node, 1, *right);
    return {};
}

template <class Value>
void BTree<Value>::add_child(Node& parent, std::uint32_t i, const Frame& child) {
    parent.open_gap(i);
    parent.set_key(i, NodeView(child.bytes).key(0));
    parent.set_child(i, child.at);
}

// Child i of parent is full: gives entries to an unshared sibling with at least 8 free places, or
// splits.
template <class Value>
Result<> BTree<Value>::make_room(Node& parent, std::uint32_t i, Frame& child) {
    constexpr std::uint32_t worth_sharing = 8;
    const auto sibling = [&](std::uint32_t at) -> Result<Frame*> {  // null: shared, or none there
        if (at >= parent.entries()) return static_cast<Frame*>(nullptr);
        TRY(tm_.check_inside(parent.child(at)));
        if (tm_.count(parent.child(at)) > 1) return static_cast<Frame*>(nullptr);
        return tm_.read(parent.child(at), Value::kind);
    };
    const auto has_room = [](const Frame* f) {
        return f != nullptr &&
               NodeView(f->bytes).entries() + worth_sharing <= NodeView(f->bytes).max_entries();
    };
    Node node(child.bytes);
    Frame* left = i == 0 ? nullptr : TRY(sibling(i - 1));
    if (left != nullptr) TRY(check_siblings(NodeView(left->bytes), node));
    if (has_room(left)) {
        Node l(TRY(shadow_child(parent, i - 1))->bytes);
        const std::uint32_t target = (l.entries() + node.entries()) / 2;
        l.take_first_of(node, target - l.entries());
        parent.set_key(i, node.key(0));
        return {};
    }
    Frame* right = TRY(sibling(i + 1));
    if (right != nullptr) TRY(check_siblings(node, NodeView(right->bytes)));
    if (has_room(right)) {
        Node r(TRY(shadow_child(parent, i + 1))->bytes);
        const std::uint32_t target = (node.entries() + r.entries()) / 2;
        r.take_last_of(node, node.entries() - target);
        parent.set_key(i + 1, r.key(0));
        return {};
    }
    if (left == nullptr || right == nullptr) return split_in_two(parent, i, child);
    return split_in_three(parent, i - 1, *TRY(shadow_child(parent, i - 1)), child);
}

template <class Value>
Result<> BTree<Value>::split_in_two(Node& parent, std::uint32_t i, Frame& child) {
    Node node(child.bytes);
    Frame* right = TRY(tm_.create_node(Value::kind, Value::size));
    Node r(right->bytes);
    r.format(node.is_leaf(), node.value_size());
    r.take_last_of(node, node.entries() - node.entries() / 2);
    add_child(parent, i + 1, *right);
    return {};
}

// Two full neighbours become three.
template <class Value>
Result<> BTree<Value>::split_in_three(Node& parent, std::uint32_t left, Frame& left_frame,
                                      Frame& right_frame) {
    Node l(left_frame.bytes);
    Node r(right_frame.bytes);
    Frame* middle = TRY(tm_.create_node(Value::kind, Value::size));
    Node m(middle->bytes);
    m.format(l.is_leaf(), l.value_size());
    const std::uint32_t total = l.entries() + r.entries();
    const std::uint32_t in_left = total / 3;
    const std::uint32_t in_middle = (total - in_left) / 2;
    const std::uint32_t from_left =
        std::min(l.entries() - std::min(l.entries(), in_left), in_middle);
    m.take_last_of(l, from_left);
    m.take_first_of(r, in_middle - from_left);
    parent.set_key(left + 1, r.key(0));
    add_child(parent, left + 1, *middle);
    return {};
}

// --- removing ------------------------------------------------------------------------------------

template <class Value>
Result<typename BTree<Value>::Removed> BTree<Value>::remove_range(MetadataBlock root,
                                                                  std::uint64_t begin,
                                                                  std::uint64_t end,
                                                                  std::uint64_t limit) {
    Removed removed{root, 0, begin};
    while (removed.entries < limit) {
        const auto entry = TRY(next(removed.root, removed.next));
        if (!entry || entry->key >= end) {
            removed.next = end;
            break;
        }
        removed.entries += TRY(remove_some(removed.root, entry->key, end, limit - removed.entries));
        removed.next = entry->key;
    }
    return removed;
}

// Removes entries from `key`, which is there, up to `end` out of one leaf; leaves the leaf a third
// full.
template <class Value>
Result<std::uint64_t> BTree<Value>::remove_some(MetadataBlock& root, std::uint64_t key,
                                                std::uint64_t end, std::uint64_t limit) {
    Frame* frame = TRY(shadow(root));
    root = frame->at;
    bool at_root = true;
    for (unsigned depth = 0; !NodeView(frame->bytes).is_leaf(); ++depth) {
        if (depth > max_tree_depth) return too_deep(root);
        Node node(frame->bytes);
        if (node.entries() == 1) {
            if (!at_root)
                return Error(Errc::corrupt,
                             fmt::format("metadata block {}: a single entry", frame->at));
            TRY(collapse_single_child(node));
            continue;
        }
        TRY(rebalance_children(node, node.child_for(key)));
        if (node.entries() == 1)
            continue;  // a merge left one child, which the next round collapses
        frame = TRY(shadow_child(node, node.child_for(key)));
        at_root = false;
    }
    Node leaf(frame->bytes);
    const std::uint32_t first = leaf.lower_bound(key);
    const std::uint32_t last = leaf.lower_bound(end);
    if (first >= last)
        return Error(Errc::corrupt,
                     fmt::format("metadata block {}: key {} is not where it was", frame->at, key));
    const std::uint32_t floor = at_root ? 0 : leaf.max_entries() / 3;
    const std::uint32_t spare = leaf.entries() > floor ? leaf.entries() - floor : 1;
    const auto n =
        static_cast<std::uint32_t>(std::min<std::uint64_t>({last - first, spare, limit}));
    for (std::uint32_t i = first; i < first + n; ++i)
        TRY(value_.release(Value::decode(leaf.value(i))));
    leaf.erase(first, n);
    return n;
}

// A root with one child takes the child's place: the tree loses a level.
template <class Value>
Result<> BTree<Value>::collapse_single_child(Node& parent) {
    Frame* child = TRY(shadow_child(parent, 0));
    const MetadataBlock at = child->at;
    parent.copy_contents_of(NodeView(child->bytes));
    return tm_.decrement(at);
}

template <class Value>
Result<> BTree<Value>::rebalance_children(Node& parent, std::uint32_t i) {
    if (i == 0) return rebalance_pair(parent, 0);
    if (i + 1 == parent.entries()) return rebalance_pair(parent, i - 1);
    return rebalance_triple(parent, i - 1);
}

template <class Value>
Result<> BTree<Value>::rebalance_pair(Node& parent, std::uint32_t left) {
    Node l(TRY(shadow_child(parent, left))->bytes);
    Node r(TRY(shadow_child(parent, left + 1))->bytes);
    TRY(check_siblings(l, r));
    const std::uint32_t total = l.entries() + r.entries();
    if (total < 2 * (l.max_entries() / 3 + 1)) {
        l.take_first_of(r, r.entries());
        const MetadataBlock emptied = parent.child(left + 1);
        parent.erase(left + 1);
        return tm_.decrement(emptied);
    }
    const std::uint32_t target = total / 2;
    if (l.entries() < target) l.take_first_of(r, target - l.entries());
    else if (l.entries() > target) r.take_last_of(l, l.entries() - target);
    parent.set_key(left + 1, r.key(0));
    return {};
}

template <class Value>
Result<> BTree<Value>::rebalance_triple(Node& parent, std::uint32_t left) {
    Node l(TRY(shadow_child(parent, left))->bytes);
    Node c(TRY(shadow_child(parent, left + 1))->bytes);
    Node r(TRY(shadow_child(parent, left + 2))->bytes);
    TRY(check_siblings(l, c));
    TRY(check_siblings(c, r));
    const std::uint32_t total = l.entries() + c.entries() + r.entries();
    if (total < 4 * (l.max_entries() / 3) + 1) {
        // Few enough for two nodes: the centre's entries go to both sides.
        const std::uint32_t to_left = std::min(l.max_entries() - l.entries(), c.entries());
        l.take_first_of(c, to_left);
        r.take_last_of(c, c.entries());
        const MetadataBlock emptied = parent.child(left + 1);
        parent.erase(left + 1);
        parent.set_key(left + 1, r.key(0));
        TRY(tm_.decrement(emptied));
        return rebalance_pair(parent, left);
    }
    // Through the centre, which has room for what either side gives away once it gave its own.
    const std::uint32_t in_right = total / 3;
    const std::uint32_t in_left = total / 3 + (total % 3 != 0 ? 1 : 0);
    if (l.entries() < in_left) {
        const std::uint32_t wanted = in_left - l.entries();
        const std::uint32_t from_centre = std::min(wanted, c.entries());
        l.take_first_of(c, from_centre);
        l.take_first_of(r, wanted - from_centre);
    }
    if (r.entries() < in_right) {
        const std::uint32_t wanted = in_right - r.entries();
        const std::uint32_t from_centre = std::min(wanted, c.entries());
        r.take_last_of(c, from_centre);
        r.take_last_of(l, wanted - from_centre);
    }
    if (l.entries() > in_left) c.take_last_of(l, l.entries() - in_left);
    if (r.entries() > in_right) c.take_first_of(r, r.entries() - in_right);
    parent.set_key(left + 1, c.key(0));
    parent.set_key(left + 2, r.key(0));
    return {};
}

// --- dropping ------------------------------------------------------------------------------------

template <class Value>
Result<> BTree<Value>::drop_node(MetadataBlock at, unsigned depth) {
    if (depth > max_tree_depth) return too_deep(at);
    TRY(tm_.check_inside(at));
    if (tm_.count(at) > 1) return tm_.decrement(at);
    std::vector<MetadataBlock> children;
    {
        Frame* frame = TRY(tm_.read(at, Value::kind));
        const NodeView node(frame->bytes);
        for (std::uint32_t i = 0; i < node.entries(); ++i) {
            if (node.is_leaf()) TRY(value_.release(Value::decode(node.value(i))));
            else children.push_back(node.child(i));
        }
    }
    // No frame is held here, so a large tree may go through a small cache.
    if (!children.empty()) tm_.cache().trim();
    for (MetadataBlock child : children) TRY(drop_node(child, depth + 1));
    return tm_.decrement(at);
}

}  // namespace thinvol
