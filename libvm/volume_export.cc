#include "libvm/volume_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "engine/base/aligned_buffer.h"
#include "libvm/frozen_volumes.h"
#include "libvm/handoff.h"

namespace thinvol {

namespace {

constexpr std::size_t piece_bytes = 4 << 20;
constexpr std::size_t request_bytes = 1 << 20;
constexpr Bytes look_ahead{16ULL << 30};
constexpr std::string_view suffix = "_exporting";
constexpr std::string_view export_tag = "tvexport";

struct Piece {
    ByteOffset at{};
    AlignedBuffer bytes;
    std::size_t length = 0;
};
void clear(Piece& piece) { piece.length = 0; }

class Reader {
public:
    Reader(VolumeAccess& access, ImageTarget& target, const ExportHooks& hooks)
        : access_(access), hooks_(hooks), pieces_([&](Piece& piece) {
              return target.write(piece.at, piece.bytes.first(piece.length));
          }) {}

    Result<Bytes> read(Bytes size) {
        for (std::uint64_t at = 0; at < size.n;) {
            const Bytes most = std::min(look_ahead, Bytes(size.n - at));
            for (const VolumeExtent& extent : TRY(access_.extents(ByteOffset(at), most))) {
                if (hooks_.interrupted()) return interrupted_error();
                if (extent.backing != Backing::none) TRY(read_extent(at, extent.length));
                at += extent.length;
                hooks_.progress(Bytes(at));
            }
        }
        if (pieces_.current().length > 0) TRY(pieces_.pass());
        TRY(pieces_.finish());
        return data_;
    }

private:
    Result<> read_extent(std::uint64_t at, std::uint64_t length) {
        data_ += Bytes(length);
        for (const std::uint64_t end = at + length; at < end;) {
            if (hooks_.interrupted()) return interrupted_error();
            Piece& piece = pieces_.current();
            if (piece.bytes.size() == 0) piece.bytes = AlignedBuffer(piece_bytes);
            const std::size_t n = std::min<std::uint64_t>(piece_bytes, end - at);
            TRY(fill(piece, at, n));
            TRY(pieces_.pass());
            at += n;
            hooks_.progress(Bytes(at));
        }
        return {};
    }

    Result<> fill(Piece& piece, std::uint64_t at, std::size_t length) {
        std::array<IoRequest, piece_bytes / request_bytes> requests;
        std::size_t count = 0;
        for (std::size_t done = 0; done < length; done += request_bytes) {
            IoRequest& request = requests[count++];
            request.kind = IoKind::read;
            request.offset = ByteOffset(at + done);
            request.length = Bytes(std::min(request_bytes, length - done));
            request.buffer = piece.bytes.bytes() + done;
        }
        TRY(access_.run(std::span(requests).first(count)));
        piece.at = ByteOffset(at);
        piece.length = length;
        return {};
    }

    VolumeAccess& access_;
    const ExportHooks& hooks_;
    Bytes data_{};
    Handoff<Piece> pieces_;
};

// --- the snapshot of a volume that is active -----------------------------------------------------

Result<ThinRow> make_snapshot(Session& session, const GroupRow& group, const PoolRow& pool,
                              const ThinRow& volume, bool freeze) {
    MakeVolumesRequest::One one;
    one.name = volume.lv.name + std::string(suffix);
    one.origin_id = volume.lv.id;
    one.read_only = true;
    one.skip_activation = true;
    one.tags.emplace_back(export_tag);
    TRY(create_frozen(session, group, pool, {{one}}, freeze));
    return session.catalog.thin(TRY(session.catalog.find_lv(group, one.name)).id);
}

}  // namespace

Result<ExportResult> export_volume(Session& session, const GroupRow& group, const ThinRow& volume,
                                   ImageTarget& target, const ExportHooks& hooks) {
    const PoolRow pool = TRY(session.catalog.pool(volume.pool_id));
    TRY(remove_left_over(session, group, pool, volume.lv.name + std::string(suffix), export_tag));
    std::optional<ThinRow> snapshot;
    if (TRY(is_active(session, pool, volume)))
        snapshot = TRY(within("a snapshot to export from",
                              make_snapshot(session, group, pool, volume, hooks.freeze)));
    const auto copy = [&]() -> Result<Bytes> {
        const ThinRow& from = snapshot ? *snapshot : volume;
        auto access = TRY(VolumeAccess::open(session, group, pool, from, Purpose::reading));
        const Bytes data = TRY(Reader(*access, target, hooks).read(volume.size));
        TRY(target.finish());
        return data;
    };
    auto data = copy();
    ExportResult result;
    if (snapshot) {
        const auto removed = remove_volumes(session, group, pool, {{snapshot->lv.id}, false});
        if (!removed)
            result.warnings.push_back(fmt::format("{}/{} is left: {}", group.name,
                                                  snapshot->lv.name, removed.error().text));
    }
    if (!data) return std::move(data).error();
    result.data = *data;
    return result;
}

}  // namespace thinvol
