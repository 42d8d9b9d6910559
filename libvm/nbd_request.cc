#include "libvm/nbd_request.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace thinvol {
namespace {

using nbd::store_be;

constexpr std::size_t kept_heads_max = 4096;
constexpr std::size_t error_text_max = 1024;

std::size_t chunk_head(NbdReplies form) {
    return form == NbdReplies::extended ? nbd::extended_chunk_bytes : nbd::chunk_bytes;
}

std::uint32_t allocation_flags(Backing backing) {
    return backing == Backing::none ? nbd::state_hole | nbd::state_zero : 0;
}

std::uint32_t sharing_flags(Backing backing) {
    switch (backing) {
        case Backing::none: return nbd::sharing_none;
        case Backing::origin: return nbd::sharing_none | nbd::sharing_origin;
        case Backing::shared: return nbd::sharing_shared;
        case Backing::exclusive: break;
    }
    return 0;
}

}  // namespace

void NbdRequest::shrink() {
    if (payload.capacity() > PayloadBuffers::least) payload = {};
    if (heads.capacity() <= kept_heads_max) return;
    extents = {};
    heads = {};
    pieces = {};
}

void NbdRequest::add(const std::byte* bytes, std::size_t n) {
    pieces.push_back({const_cast<std::byte*>(bytes), n});
    answer_bytes += n;
}

void NbdRequest::answer(const NbdAgreement& agreed, std::uint32_t error, std::string_view text) {
    pieces.clear();
    answer_bytes = 0;
    const bool simple = agreed.replies == NbdReplies::simple;
    if (error != 0 && !simple) return answer_error(agreed, error, text);
    if (error == 0 && command == nbd::Command::block_status) return answer_status(agreed);
    if (error == 0 && command == nbd::Command::read && !simple) return answer_read(agreed);
    if (agreed.replies != NbdReplies::extended) return answer_simple(error);
    heads.resize(nbd::extended_chunk_bytes);
    chunk(heads.data(), agreed.replies, true, nbd::Chunk::none, 0);
    add(heads.data(), heads.size());
}

void NbdRequest::answer_simple(std::uint32_t error) {
    heads.resize(nbd::simple_reply_bytes);
    std::byte* p = store_be(heads.data(), nbd::magic_simple_reply);
    p = store_be(p, error);
    store_be(p, cookie);
    add(heads.data(), heads.size());
    if (error == 0 && command == nbd::Command::read && io.length > Bytes(0))
        add(payload.bytes(), io.length.n);
}

// The head of a chunk with `length` bytes behind it; returns where those begin.
std::byte* NbdRequest::chunk(std::byte* p, NbdReplies form, bool last, nbd::Chunk type,
                             std::uint64_t length) const {
    const bool extended = form == NbdReplies::extended;
    p = store_be(p, extended ? nbd::magic_extended_reply : nbd::magic_structured_reply);
    p = store_be(p, static_cast<std::uint16_t>(last ? nbd::chunk_done : 0));
    p = store_be(p, static_cast<std::uint16_t>(type));
    p = store_be(p, cookie);
    if (!extended) return store_be(p, static_cast<std::uint32_t>(length));
    p = store_be(p, offset);
    return store_be(p, length);
}

void NbdRequest::answer_error(const NbdAgreement& agreed, std::uint32_t error,
                              std::string_view text) {
    text = text.substr(0, error_text_max);
    const std::size_t length = 6 + text.size();
    heads.resize(chunk_head(agreed.replies) + length);
    std::byte* p = chunk(heads.data(), agreed.replies, true, nbd::Chunk::error, length);
    p = store_be(p, error);
    p = store_be(p, static_cast<std::uint16_t>(text.size()));
    if (!text.empty()) std::memcpy(p, text.data(), text.size());
    add(heads.data(), heads.size());
}

void NbdRequest::answer_read(const NbdAgreement& agreed) {
    const std::size_t head = chunk_head(agreed.replies);
    if (io.extents == nullptr) extents.assign(1, {io.length.n, Backing::exclusive});
    if (io.length == Bytes(0)) extents.clear();
    heads.resize(std::max<std::size_t>(extents.size(), 1) * (head + 12));
    std::byte* p = heads.data();
    if (extents.empty()) p = chunk(p, agreed.replies, true, nbd::Chunk::none, 0);
    std::byte* unsent = heads.data();
    std::uint64_t at = 0;
    for (std::size_t i = 0; i < extents.size(); ++i) {
        const VolumeExtent& extent = extents[i];
        const bool last = i + 1 == extents.size();
        const bool hole = extent.backing == Backing::none;
        p = hole ? chunk(p, agreed.replies, last, nbd::Chunk::offset_hole, 12)
                 : chunk(p, agreed.replies, last, nbd::Chunk::offset_data, 8 + extent.length);
        p = store_be(p, offset + at);
        if (hole) {
            p = store_be(p, static_cast<std::uint32_t>(extent.length));
        } else {
            add(unsent, static_cast<std::size_t>(p - unsent));
            add(payload.bytes() + at, extent.length);
            unsent = p;
        }
        at += extent.length;
    }
    if (p > unsent) add(unsent, static_cast<std::size_t>(p - unsent));
}

// One context's chunk: stretches that differ only in what it does not tell are one.
std::byte* NbdRequest::status(std::byte* p, NbdReplies form, bool last, std::uint32_t id,
                              std::uint32_t (*flags_of)(Backing)) const {
    const bool extended = form == NbdReplies::extended;
    std::byte* const begin = p;
    p += chunk_head(form);
    p = store_be(p, id);
    std::byte* const count = p;
    if (extended) p += sizeof(std::uint32_t);
    std::uint32_t n = 0;
    for (std::size_t i = 0; i < extents.size();) {
        const std::uint32_t flags = flags_of(extents[i].backing);
        std::uint64_t length = 0;
        for (; i < extents.size() && flags_of(extents[i].backing) == flags; ++i)
            length += extents[i].length;
        p = extended ? store_be(p, length) : store_be(p, static_cast<std::uint32_t>(length));
        p = extended ? store_be(p, std::uint64_t{flags}) : store_be(p, flags);
        ++n;
    }
    if (extended) store_be(count, n);
    chunk(begin, form, last, extended ? nbd::Chunk::block_status_ext : nbd::Chunk::block_status,
          static_cast<std::uint64_t>(p - begin) - chunk_head(form));
    return p;
}

void NbdRequest::answer_status(const NbdAgreement& agreed) {
    const NbdReplies form = agreed.replies;
    heads.resize(2 * (chunk_head(form) + 8 + 16 * extents.size()));
    std::byte* p = heads.data();
    if (contexts.allocation)
        p = status(p, form, !contexts.sharing, allocation_id, allocation_flags);
    if (contexts.sharing) p = status(p, form, true, sharing_id, sharing_flags);
    add(heads.data(), static_cast<std::size_t>(p - heads.data()));
}

}  // namespace thinvol
