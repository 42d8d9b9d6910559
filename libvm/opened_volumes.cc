#include "libvm/opened_volumes.h"

#include <fmt/format.h>

#include "engine/base/le.h"
#include "libvm/control_protocol.h"
#include "libvm/external_origin.h"

namespace thinvol {
namespace {

constexpr std::size_t extents_max = 4096;

// The volumes that must not be opened for the request to be right.
std::vector<std::int64_t> concerned(const PoolRequest& request) {
    if (const auto* r = std::get_if<RemoveVolumesRequest>(&request.what)) return r->lv_ids;
    if (const auto* r = std::get_if<ActivateRequest>(&request.what)) return r->lv_ids;
    if (const auto* r = std::get_if<ResizeVolumeRequest>(&request.what)) return {r->lv_id};
    if (const auto* r = std::get_if<MergeRequest>(&request.what)) return {r->lv_id};
    return {};
}

Error in_use(const std::string& name) {
    return {Errc::busy, fmt::format("{} is being imported or exported: wait for the end of that, "
                                    "or interrupt it",
                                    name)};
}

}  // namespace

Result<std::unique_ptr<OpenedVolume>> OpenedVolumes::open(const ThinRow& row, bool writing) {
    std::unique_ptr<BlockQueue> origin;
    if (!row.external_origin.empty()) origin = TRY(open_external_origin(row.external_origin));
    Result<Volume*> volume = in_use(row.lv.name);
    engine_.call([&](Pool& pool, PoolDevices&) {
        const auto use = uses_.find(row.lv.id);
        if (use != uses_.end() && (writing || use->second.written)) return;
        volume = pool.open_volume(row.thin_id, row.size, !writing, origin.get());
        if (!volume) return;
        ++uses_[row.lv.id].readers;
        uses_[row.lv.id].written = writing;
    });
    return std::make_unique<OpenedVolume>(*this, row.lv.id, std::move(origin),
                                          *TRY(std::move(volume)));
}

std::uint64_t OpenedVolumes::count() {
    std::uint64_t n = 0;
    engine_.call([&](Pool&, PoolDevices&) { n = uses_.size(); });
    return n;
}

Result<> OpenedVolumes::check_may(Catalog& catalog, const PoolRequest& request) {
    for (const std::int64_t lv_id : concerned(request)) {
        bool opened = false;
        engine_.call([&](Pool&, PoolDevices&) { opened = uses_.contains(lv_id); });
        if (opened) return in_use(TRY(catalog.thin(lv_id)).lv.name);
    }
    return {};
}

OpenedVolume::~OpenedVolume() {
    all_.engine_.call([&](Pool& pool, PoolDevices&) {
        pool.close_volume(volume_);
        if (--all_.uses_[lv_id_].readers == 0) all_.uses_.erase(lv_id_);
    });
}

Result<> OpenedVolume::serve(int fd, const VolumeIoRequest& request) {
    const bool has_bytes = request.kind == IoKind::read || request.kind == IoKind::write;
    if (has_bytes && request.length > volume_io_max)
        return Error(Errc::invalid_argument, fmt::format("{} bytes at once, the most is {}",
                                                         request.length, volume_io_max));
    if (has_bytes && buffer_.size() < request.length) buffer_ = AlignedBuffer(volume_io_max);
    if (request.kind == IoKind::write) TRY(receive_bytes(fd, buffer_.first(request.length)));
    IoRequest io;
    io.kind = request.kind;
    io.waits_for_space = false;  // whoever waits, does so where he can be interrupted
    io.volume = &volume_;
    io.offset = ByteOffset(request.offset);
    io.length = Bytes(request.length);
    io.buffer = buffer_.bytes();
    extents_.clear();
    if (request.kind == IoKind::status) {
        io.extents = &extents_;
        io.most = extents_max;
    }
    return send_answer(fd, request, all_.engine_.run(io));
}

Result<> OpenedVolume::send_answer(int fd, const VolumeIoRequest& request, Result<> outcome) {
    if (!outcome) return send_frame(fd, to_json(Result<PoolAnswer>(std::move(outcome).error())));
    std::vector<std::byte> pairs(extents_.size() * 16);
    for (std::size_t i = 0; i < extents_.size(); ++i) {
        store_le<std::uint64_t>(&pairs[i * 16], extents_[i].length);
        store_le<std::uint64_t>(&pairs[i * 16 + 8],
                                static_cast<std::uint64_t>(extents_[i].backing));
    }
    const std::span<const std::byte> following =
        request.kind == IoKind::read ? buffer_.first(request.length) : std::span(pairs);
    PoolAnswer answer;
    answer.bytes_following = following.size();
    TRY(send_frame(fd, to_json(Result<PoolAnswer>(std::move(answer)))));
    return send_bytes(fd, following);
}

}  // namespace thinvol
