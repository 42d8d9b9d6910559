#include "libvm/group_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "libvm/extents.h"
#include "libvm/file_lock.h"
#include "libvm/group_archive.h"

namespace thinvol {
namespace {

// Hidden extents for a log that has outgrown its area: contiguous, on its own physical volume.
Result<Placement> allocate_log(Session& session, const GroupRow& group, const PvRow& pv,
                               Sectors needed) {
    auto transaction = TRY(session.catalog.begin());
    const auto segments = TRY(session.catalog.segments(group.id));
    PvRow here = pv;
    here.allocatable = true;  // for volumes it may not be; this is its own log
    auto free = TRY(FreeExtents::of({here}, segments));
    const Extents wanted(divide_up(needed.n, group.extent_size.n));
    auto taken = TRY(free.take(wanted, {pv.id}));
    if (taken.size() != 1)
        return Error(Errc::out_of_space,
                     fmt::format("{} contiguous extents for the group's log", wanted));
    for (const SegmentRow& old : segments) {
        if (old.role == SegmentRole::log && old.pv_id == pv.id)
            TRY(session.catalog.remove_segment(old.id));
    }
    SegmentRow segment;
    segment.vg_id = group.id;
    segment.role = SegmentRole::log;
    segment.length = wanted;
    segment.pv_id = pv.id;
    segment.pv_start = taken.front().start;
    TRY(session.catalog.add_segment(segment));
    TRY(std::move(transaction).commit());
    return taken.front();
}

// A new log in a larger place. The label moves over once the checkpoint there is durable.
Result<> relocate_log(Session& session, const GroupRow& group, const PvRow& pv,
                      const PvOpener::Opened& device, PvLabel label) {
    const auto rows = TRY(session.catalog.all_rows(group.id));
    const Placement place = TRY(allocate_log(session, group, pv, PvLog::area_for(rows)));
    label.log_at = end_of(label.data_start + group.extent_size * place.start.n);
    label.log_length = group.extent_size * place.length.n;
    TRY(device.allocate(label.log_at, label.log_length));
    auto log = TRY(PvLog::open(*device.queue, label.log_at, label.log_length, label.group));
    TRY(log.checkpoint(TRY(session.catalog.all_rows(group.id)),
                       TRY(session.catalog.last_change(group.id))));
    return write_label(*device.queue, label);
}

// The marks of a group's logs, by physical volume, as text in the lock's note.
using Marks = std::map<std::string, PvLog::Mark>;

Marks parse_marks(const std::string& text) {
    Marks marks;
    std::istringstream lines(text);
    std::string pv;
    PvLog::Mark mark;
    while (lines >> pv >> mark.generation >> mark.at.n >> mark.before) marks[pv] = mark;
    return marks;
}

std::string format_marks(const Marks& marks) {
    std::string text;
    for (const auto& [pv, mark] : marks)
        text += fmt::format("{} {} {} {}\n", pv, mark.generation, mark.at, mark.before);
    return text;
}

void remember(Marks& marks, const PvRow& pv, const PvLog& log) {
    if (const auto mark = log.mark()) marks[pv.uuid] = *mark;
    else marks.erase(pv.uuid);
}

std::optional<PvLog::Mark> mark_of(const Marks& marks, const PvRow& pv) {
    const auto known = marks.find(pv.uuid);
    return known == marks.end() ? std::nullopt : std::optional(known->second);
}

Result<FileLock> lock_log(Session& session, const GroupRow& group) {
    return within(fmt::format("the log of volume group {}", group.name),
                  FileLock::exclusive(session.environment.lock_path(group.uuid + ".log"),
                                      std::chrono::seconds(10)));
}

Result<> sync_one(Session& session, const GroupRow& group, const PvRow& pv, Marks& marks) {
    const auto device = TRY(open_pv(*session.opener, pv, session.catalog.environment_uuid()));
    const PvLabel& label = device.label;
    auto log = TRY(PvLog::open(*device.queue, label.log_at, label.log_length, label.group,
                               mark_of(marks, pv)));
    const std::int64_t last = TRY(session.catalog.last_change(group.id));
    if (log.last_change() > last) {
        return Error(Errc::corrupt,
                     fmt::format("the log on {} knows change {} of group \"{}\", "
                                 "the catalog only {}: an older catalog was brought "
                                 "back; tvgreconcile {} settles it",
                                 pv.path, log.last_change(), group.name, last, group.name));
    }
    if (log.last_change() == last) return {};
    const auto changes = log.empty()
                             ? std::nullopt
                             : TRY(session.catalog.changes_after(group.id, log.last_change()));
    if (changes) {
        auto appended = log.append(*changes);
        remember(marks, pv, log);
        if (appended || appended.error().code != Errc::out_of_space) return appended;
    }
    auto written = log.checkpoint(TRY(session.catalog.all_rows(group.id)), last);
    if (written || written.error().code != Errc::out_of_space) return written;
    return relocate_log(session, group, pv, device, label);
}

}  // namespace

Result<PvLog> open_group_log(BlockQueue& device, const UuidBytes& group) {
    const PvLabel label = TRY(read_label(device));
    return PvLog::open(device, label.log_at, label.log_length, group);
}

Result<> sync_group_log(Session& session, const GroupRow& group) {
    if (session.environment.rehearsal) return {};
    const auto lock = TRY(lock_log(session, group));
    const auto archived = archive_changes(session, group);
    Marks marks = parse_marks(lock.note());
    for (const PvRow& pv : TRY(session.catalog.pvs(group.id))) {
        if (pv.keeps_log) TRY(within("group log", sync_one(session, group, pv, marks)));
    }
    lock.set_note(format_marks(marks));
    return archived;
}

Result<std::int64_t> last_logged_change(Session& session, const GroupRow& group) {
    const auto lock = TRY(lock_log(session, group));
    const Marks marks = parse_marks(lock.note());
    std::int64_t last = 0;
    for (const PvRow& pv : TRY(session.catalog.pvs(group.id))) {
        if (!pv.keeps_log) continue;
        const auto device = open_pv(*session.opener, pv, session.catalog.environment_uuid());
        if (!device) continue;
        const PvLabel& label = device->label;
        const auto log = PvLog::open(*device->queue, label.log_at, label.log_length, label.group,
                                     mark_of(marks, pv));
        if (log) last = std::max(last, log->last_change());
    }
    return last;
}

}  // namespace thinvol
