#include "engine/node.h"

#include <fmt/format.h>

#include <array>

namespace thinvol {

void Node::format(bool leaf, std::uint32_t value_size) {
    std::memset(w_ + 16, 0, metadata_block_bytes - 16);
    store_le<std::uint32_t>(w_ + 4, leaf ? node_flag_leaf : node_flag_internal);
    store_le<std::uint32_t>(w_ + 20, max_entries_for(value_size));
    store_le<std::uint32_t>(w_ + 24, value_size);
}

void Node::normalise() {
    const std::uint32_t max = max_entries_for(value_size());
    if (max_entries() == max) return;
    ASSERT(entries() <= max);
    std::array<std::byte, metadata_block_bytes> values;
    const std::size_t bytes = std::size_t{entries()} * value_size();
    std::memcpy(values.data(), value(0), bytes);
    store_le<std::uint32_t>(w_ + 20, max);
    std::memcpy(value(0), values.data(), bytes);
}

void Node::open_gap(std::uint32_t i) {
    const std::uint32_t n = entries();
    ASSERT(i <= n);
    ASSERT(n < max_entries());
    std::memmove(w_ + key_offset(i + 1), w_ + key_offset(i), 8UL * (n - i));
    std::memmove(value(i + 1), value(i), std::size_t{value_size()} * (n - i));
    set_entries(n + 1);
}

void Node::erase(std::uint32_t i, std::uint32_t n) {
    const std::uint32_t all = entries();
    ASSERT(i + n <= all);
    std::memmove(w_ + key_offset(i), w_ + key_offset(i + n), 8UL * (all - i - n));
    std::memmove(value(i), value(i + n), std::size_t{value_size()} * (all - i - n));
    set_entries(all - n);
}

void Node::append(const NodeView& other, std::uint32_t from, std::uint32_t n) {
    const std::uint32_t have = entries();
    ASSERT(have + n <= max_entries());
    ASSERT(from + n <= other.entries());
    ASSERT(other.value_size() == value_size());
    for (std::uint32_t i = 0; i < n; ++i) set_key(have + i, other.key(from + i));
    std::memcpy(value(have), other.value(from), std::size_t{value_size()} * n);
    set_entries(have + n);
}

void Node::take_last_of(Node& left, std::uint32_t n) {
    const std::uint32_t have = entries();
    const std::uint32_t from = left.entries() - n;
    ASSERT(n <= left.entries());
    ASSERT(have + n <= max_entries());
    std::memmove(w_ + key_offset(n), w_ + key_offset(0), 8UL * have);
    std::memmove(value(n), value(0), std::size_t{value_size()} * have);
    for (std::uint32_t i = 0; i < n; ++i) set_key(i, left.key(from + i));
    std::memcpy(value(0), left.value(from), std::size_t{value_size()} * n);
    set_entries(have + n);
    left.set_entries(from);
}

void Node::take_first_of(Node& right, std::uint32_t n) {
    append(right, 0, n);
    right.erase(0, n);
}

void Node::copy_contents_of(const NodeView& other) {
    ASSERT(other.max_entries() == max_entries_for(other.value_size()));
    store_le<std::uint32_t>(w_ + 4, other.is_leaf() ? node_flag_leaf : node_flag_internal);
    store_le<std::uint32_t>(w_ + 20, other.max_entries());
    store_le<std::uint32_t>(w_ + 24, other.value_size());
    set_entries(0);
    append(other, 0, other.entries());
}

Result<> check_node(ConstBlockBytes block, std::uint32_t leaf_value_size) {
    const NodeView node(block.data());
    const auto flags = load_le<std::uint32_t>(block.data() + 4);
    if (flags != node_flag_internal && flags != node_flag_leaf) {
        return Error(Errc::corrupt, fmt::format("node flags {:#x}, expected 1 or 2", flags));
    }
    const std::uint32_t value_size = node.is_leaf() ? leaf_value_size : 8;
    if (node.value_size() != value_size) {
        return Error(Errc::corrupt,
                     fmt::format("node value size {}, expected {}", node.value_size(), value_size));
    }
    const std::uint32_t max = node.max_entries();
    if (max == 0 || max % 3 != 0 || max > max_entries_for(value_size)) {
        return Error(Errc::corrupt,
                     fmt::format("node of at most {} entries, expected a multiple of 3 up to {}",
                                 max, max_entries_for(value_size)));
    }
    const std::uint32_t n = node.entries();
    if (n > max)
        return Error(Errc::corrupt, fmt::format("node with {} entries of at most {}", n, max));
    if (n == 0 && !node.is_leaf()) return Error(Errc::corrupt, "internal node without entries");
    for (std::uint32_t i = 1; i < n; ++i) {
        if (node.key(i - 1) >= node.key(i)) {
            return Error(Errc::corrupt, fmt::format("node key {} is {}, after {}", i, node.key(i),
                                                    node.key(i - 1)));
        }
    }
    return {};
}

}  // namespace thinvol
