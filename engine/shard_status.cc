// Shard: what a volume's blocks are backed by, for those who ask before they read or zero.
#include <algorithm>

#include "engine/shard_part.h"

namespace thinvol {
namespace {

constexpr std::uint64_t mappings_a_step = 1000;
constexpr std::uint64_t mappings_a_request = 64 * mappings_a_step;

}  // namespace

// Nothing is waited for but the metadata: each extent is what the open transaction says at one
// moment between the request's arrival and its end. A write that was answered has its mapping.
void Shard::begin_status(IoRequest& request) {
    request.parts = 1;
    Part& part = new_part(request, &Shard::status_step);
    part.run.data_at = request.offset.n;  // how far it is told
    part.filled = 0;                      // mappings seen
    status_step(part);
    if (--request.parts == 0) finish(request);
}

// From where it is told so far up to `until`, nothing is mapped.
void Shard::tell_unmapped(Part& part, std::uint64_t until) {
    IoRequest& request = *part.request;
    std::uint64_t& at = part.run.data_at;
    const BlockQueue* origin = request.volume->external_origin;
    const std::uint64_t shown = origin == nullptr ? 0 : to_bytes(origin->size()).n;
    if (at < until && at < shown) {
        add_extent(*request.extents, std::min(until, shown) - at, Backing::origin);
        at = std::min(until, shown);
    }
    if (at < until) add_extent(*request.extents, until - at, Backing::none);
    at = std::max(at, until);
}

void Shard::status_step(Part& part) {
    IoRequest& request = *part.request;
    if (request.volume->device == nullptr)
        return end_part(part, Error(Errc::io_error, pool_.status().trouble));
    std::vector<VolumeExtent>& extents = *request.extents;
    const std::uint64_t end = request.offset.n + request.length.n;
    std::uint64_t& told = part.run.data_at;
    const std::uint64_t enough = part.filled + mappings_a_step;
    bool more = false;
    auto walked = pool_.metadata().for_mappings(
        *request.volume->device, VirtualBlock(told / block_bytes_.n),
        VirtualBlock(divide_up(end, block_bytes_.n)),
        [&](VirtualBlock at, const ThinMetadata::Found& found) {
            more = part.filled == enough || extents.size() > request.most;
            if (more) return false;
            ++part.filled;
            tell_unmapped(part, at.n * block_bytes_.n);
            const std::uint64_t until = std::min((at.n + 1) * block_bytes_.n, end);
            add_extent(*request.extents, until - told,
                       found.shared ? Backing::shared : Backing::exclusive);
            told = until;
            return true;
        });
    if (!walked) return end_part(part, std::move(walked));
    if (!more) tell_unmapped(part, end);
    if (!more || extents.size() > request.most || part.filled >= mappings_a_request) {
        if (extents.size() > request.most) extents.resize(request.most);
        return end_part(part, {});
    }
    ready_.push(part);
}

// Whether what lies at the edges, in blocks that are not covered whole, is zero already.
bool Shard::zeroes_by_unmapping(IoRequest& request) {
    const std::uint64_t end = request.offset.n + request.length.n;
    for (const std::uint64_t edge : {request.offset.n, end}) {
        if (edge % block_bytes_.n == 0) continue;
        const auto found =
            pool_.metadata().lookup(*request.volume->device, VirtualBlock(edge / block_bytes_.n));
        if (!found || *found) return false;
    }
    return true;
}

// A piece of one block: zeroes are written only where there is something else.
void Shard::zero_edge(IoRequest& request, std::uint64_t begin, std::uint64_t end) {
    const VirtualBlock at(begin / block_bytes_.n);
    const std::uint64_t first = at.n * block_bytes_.n;
    const auto found = pool_.metadata().lookup(*request.volume->device, at);
    if (!found) {
        if (request.outcome) request.outcome = found.error();
    } else if (*found && !(*found)->shared) {
        submit_run(request,
                   {(*found)->block.n * block_bytes_.n + (begin - first), end - begin, nullptr});
    } else if (*found) {
        begin_block(request, at, begin - first, end - first);
    }
}

}  // namespace thinvol
