#include "libvm/volume_import.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "engine/base/aligned_buffer.h"
#include "engine/base/zeroes.h"
#include "libvm/group_log.h"
#include "libvm/handoff.h"
#include "libvm/merges.h"
#include "libvm/names.h"
#include "libvm/sizes.h"
#include "libvm/tags.h"

namespace thinvol {

namespace {

constexpr std::uint64_t piece_bytes = 4 << 20;
constexpr Bytes unit_max{1 << 20};
constexpr std::string_view suffix = "_importing";
constexpr std::string_view import_tag = "tvimport";
constexpr auto space_pause = std::chrono::milliseconds(500);

struct Run {
    std::size_t begin;
    std::size_t length;
};
struct Piece {
    ByteOffset at{};
    AlignedBuffer bytes;
    std::vector<Run> runs;  // of `bytes`; what is not zero
};
void clear(Piece& piece) { piece.runs.clear(); }

// The thread that writes.
class Writer {
public:
    Writer(VolumeAccess& access, const ImportTarget& target, Bytes unit, Interrupted interrupted)
        : access_(access),
          pool_(target.pool),
          size_(target.size),
          leaves_rests_(!pool_.zero && unit < to_bytes(pool_.chunk_size)),
          interrupted_(std::move(interrupted)) {}

    Result<> write(Piece& piece) {
        requests_.clear();
        for (const Run& run : piece.runs) {
            IoRequest request;
            request.kind = IoKind::write;
            request.offset = piece.at + Bytes(run.begin);
            request.length = Bytes(run.length);
            request.buffer = piece.bytes.bytes() + run.begin;
            requests_.push_back(std::move(request));
            note_gap(piece.at.n + run.begin, piece.at.n + run.begin + run.length);
            written_ += Bytes(run.length);
        }
        return requests_.empty() ? Result<>() : submit();
    }

    // A pool that does not zero new blocks leaves in them what is not written: after the data, for
    // blocks without any are not mapped, and stay so.
    Result<> finish() {
        note_gap(size_.n, size_.n);
        requests_.clear();
        for (const auto& [begin, end] : rests_) {
            IoRequest request;
            request.kind = IoKind::write_zeroes;
            request.offset = ByteOffset(begin);
            request.length = Bytes(end - begin);
            requests_.push_back(std::move(request));
            if (requests_.size() == 64) TRY(submit());
        }
        if (!requests_.empty()) TRY(submit());
        return access_.flush();
    }
    Bytes written() const { return written_; }

private:
    // The parts of a gap that lie in blocks which may have data too.
    void note_gap(std::uint64_t until, std::uint64_t go_on_at) {
        const std::uint64_t from = std::exchange(covered_, go_on_at);
        if (!leaves_rests_ || from >= until) return;
        const std::uint64_t chunk = to_bytes(pool_.chunk_size).n;
        const std::uint64_t head = std::min(until, divide_up(from, chunk) * chunk);
        const std::uint64_t tail = std::max(head, until - until % chunk);
        if (from < head) rests_.emplace_back(from, head);
        if (tail < until) rests_.emplace_back(tail, until);
    }

    // In a pool that is full and served, somebody may make room.
    Result<> submit() {
        using Clock = std::chrono::steady_clock;
        const auto began = Clock::now();
        const auto patience = std::chrono::seconds(pool_.no_space_timeout);
        for (;;) {
            auto outcome = access_.run(requests_);
            if (outcome) requests_.clear();
            if (outcome || outcome.error().code != Errc::out_of_space) return outcome;
            if (!access_.room_may_come() || pool_.error_when_full) return outcome;
            if (patience.count() > 0 && Clock::now() - began > patience) return outcome;
            if (interrupted_()) return interrupted_error();
            std::this_thread::sleep_for(space_pause);
        }
    }

    VolumeAccess& access_;
    const PoolRow& pool_;
    Bytes size_;
    bool leaves_rests_;
    Interrupted interrupted_;
    std::vector<IoRequest> requests_;
    std::uint64_t covered_ = 0;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> rests_;
    Bytes written_{};
};

// What of the piece is not zero, in whole units but for the volume's end.
void find_runs(Piece& piece, std::size_t length, Bytes unit) {
    for (std::size_t at = 0; at < length; at += unit.n) {
        const std::size_t n = std::min<std::size_t>(unit.n, length - at);
        if (all_zero(piece.bytes.first(length).subspan(at, n))) continue;
        if (!piece.runs.empty() && piece.runs.back().begin + piece.runs.back().length == at)
            piece.runs.back().length += n;
        else piece.runs.push_back({at, n});
    }
}

Error too_long(const ImportTarget& target) {
    return {Errc::invalid_argument,
            fmt::format("more comes than the {} of the volume: give a larger size",
                        format_size_long(target.size))};
}

Result<ImportCounts> copy(VolumeAccess& access, const ImportTarget& target, ImageSource& source,
                          const ImportHooks& hooks) {
    const Bytes unit = std::min(to_bytes(target.pool.chunk_size), unit_max);
    const std::size_t room = piece_bytes / unit.n * unit.n;
    Writer writer(access, target, unit, hooks.interrupted);
    ImportCounts counts;
    Handoff<Piece> pieces([&](Piece& piece) { return writer.write(piece); });
    for (ByteOffset at{};;) {
        if (hooks.interrupted()) return interrupted_error();
        Piece& piece = pieces.current();
        if (piece.bytes.size() == 0) piece.bytes = AlignedBuffer(room);
        const Bytes n = TRY(source.read(at, piece.bytes.first(room), unit));
        if (n == Bytes(0)) break;
        if (counts.read == Bytes(0) && at == ByteOffset(0))
            TRY(hooks.first_look(piece.bytes.first(n.n)));
        if (at.n > target.size.n || n.n > target.size.n - at.n) return too_long(target);
        piece.at = at;
        at += n;
        counts.read = at - ByteOffset(0);
        // The rest of the last block is zero, so that the block is written whole.
        const std::uint64_t whole =
            std::min<std::uint64_t>(divide_up(n.n, unit.n) * unit.n, target.size.n - piece.at.n);
        std::memset(piece.bytes.bytes() + n.n, 0, whole - n.n);
        find_runs(piece, whole, unit);
        if (!piece.runs.empty()) TRY(pieces.pass());
        hooks.progress(counts.read);
        at = ByteOffset(divide_up(at.n, unit.n) * unit.n);
    }
    TRY(pieces.finish());
    TRY(writer.finish());
    if (const auto size = source.size()) counts.read = *size;
    else if (counts.read == Bytes(0)) return Error(Errc::invalid_argument, "nothing came");
    counts.written = writer.written();
    return counts;
}

// --- the volume it is written to -----------------------------------------------------------------

std::string name_while(const ImportTarget& target) { return target.name + std::string(suffix); }

Result<> remove_one(Session& session, const ImportTarget& target, std::int64_t lv_id) {
    TRY(remove_volumes(session, target.group, target.pool, {{lv_id}, false}));
    return {};
}

Result<ThinRow> make_volume(Session& session, const ImportTarget& target, ImportResult& result) {
    TRY(remove_left_over(session, target.group, target.pool, name_while(target), import_tag));
    MakeVolumesRequest::One one;
    one.name = name_while(target);
    one.size = target.size;
    one.skip_activation = true;
    one.tags.emplace_back(import_tag);
    auto made = TRY(create_volumes(session, target.group, target.pool, {{one}}));
    result.warnings = std::move(made.warnings);
    result.pool = std::move(made.pool);
    const LvRow lv = TRY(session.catalog.find_lv(target.group, one.name));
    return session.catalog.thin(lv.id);
}

// From one transaction to the next it has its name, and is like any other.
Result<> give_name(Session& session, const ImportTarget& target, const ThinRow& volume) {
    Catalog& catalog = session.catalog;
    auto transaction = TRY(catalog.begin());
    TRY(catalog.check_new_name(target.group, target.name));
    TRY(catalog.rename_lv(volume.lv.id, target.name));
    TRY(catalog.set_skip_activation(volume.lv.id, false));
    TRY(remove_tag(catalog, {target.group.id, 0, volume.lv.id}, import_tag));
    TRY(catalog.prune_log(target.group.id));
    TRY(std::move(transaction).commit());
    return {};
}

Result<bool> take_place(Session& session, const ImportTarget& target, const ThinRow& volume) {
    {
        auto transaction = TRY(session.catalog.begin());
        TRY(set_origin(session.catalog, volume.lv.id, target.replaced->lv.id));
        TRY(std::move(transaction).commit());
    }
    const ThinRow now = TRY(session.catalog.thin(volume.lv.id));
    return TRY(merge_snapshot(session, target.group, now, false)).names.empty();
}

Result<> finish(Session& session, const ImportTarget& target, const ThinRow& volume,
                ImportResult& result) {
    if (target.replaced) {
        result.waits = TRY(take_place(session, target, volume));
        return {};
    }
    TRY(give_name(session, target, volume));
    for (auto& warning : TRY(announce_change(session, target.group)).warnings)
        result.warnings.push_back(std::move(warning));
    if (auto told = ask_if_served(session.environment, target.pool, new_request(RefreshRequest{}));
        !told)
        result.warnings.push_back(told.error().text);
    return {};
}

}  // namespace

Result<> check_replaceable(Session& session, const GroupRow& group, const PoolRow& pool,
                           const ThinRow& volume) {
    const std::string name = group.name + "/" + volume.lv.name;
    if (TRY(is_active(session, pool, volume)))
        return Error(Errc::busy,
                     fmt::format("{} is active: tvchange -an {}, or write to it as its clients do: "
                                 "nbdcopy FILE \"$(tvs --noheadings -o uri {})\"",
                                 name, name, name));
    if (volume.lv.read_only)
        return Error(Errc::read_only,
                     fmt::format("{} is read-only: tvchange -p rw {}", name, name));
    if (!volume.external_origin.empty())
        return Error(Errc::unsupported,
                     fmt::format("{} has an external origin, which would show where the image has "
                                 "zeroes: import to a new volume",
                                 name));
    return {};
}

Result<ImportResult> import_volume(Session& session, const ImportTarget& target,
                                   ImageSource& source, const ImportHooks& hooks) {
    if (const auto size = source.size(); size && *size > target.size)
        return Error(Errc::invalid_argument,
                     fmt::format("the image has {}, and the volume {}", format_size_long(*size),
                                 format_size_long(target.size)));
    ImportResult result;
    const ThinRow volume = TRY(make_volume(session, target, result));
    const auto fill = [&]() -> Result<ImportCounts> {
        auto access =
            TRY(VolumeAccess::open(session, target.group, target.pool, volume, Purpose::writing));
        return copy(*access, target, source, hooks);
    };
    auto counts = fill();
    if (!counts) {
        if (counts.error().code == Errc::out_of_space)
            counts.error().text += fmt::format(
                "; nothing was imported; tvextend -L +SIZE {}/{} "
                "makes room",
                target.group.name, target.pool.lv.name);
        if (auto removed = remove_one(session, target, volume.lv.id); !removed)
            return Error(counts.error().code,
                         fmt::format("{}; and {}/{} is left: {}", counts.error().text,
                                     target.group.name, volume.lv.name, removed.error().text));
        return std::move(counts).error();
    }
    result.counts = *counts;
    if (auto finished = finish(session, target, volume, result); !finished)
        return std::move(finished).error().prefixed(fmt::format(
            "the import is complete in {}/{}, and stays there", target.group.name, volume.lv.name));
    return result;
}

}  // namespace thinvol
