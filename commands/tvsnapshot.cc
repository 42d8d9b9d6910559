#include "commands/idempotence.h"
#include "commands/snapshots.h"
#include "commands/table.h"
#include "commands/tagging.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"name", 'n', Value::name_pattern,
     "Name of the new snapshot; {origin} in it stands for its volume's, {time} for now in UTC."},
    {"group", 0, Value::none,
     "Of several volumes of one pool, all at one instant; all snapshots are made, or none."},
    {"permission", 'p', Value::permission, "Whether it may be written."},
    {"setactivationskip", 'k', Value::yes_no,
     "Whether its activation is skipped without -K; y unless set otherwise."},
    {"no-freeze", 0, Value::none,
     "Do not hold still what is mounted of it on this host, nor run its hooks, as is done "
     "otherwise."},
    {"new-uuid", 0, Value::none,
     "Give the snapshot's file system a UUID of its own: ext2 to ext4, and XFS."},
    addtag_option,
    idempotent_option,
    {"size", 'L', Value::size, "Refused: a thin snapshot has no size of its own."},
    {"extents", 'l', Value::extents, "Refused, as --size."},
};
constexpr Conflict conflicts[] = {{"new-uuid", "permission"}};
constexpr OperandSpec operands[] = {
    {"VG/Thin", Value::thin,
     "Thin volume to take the snapshot of; it may be in use. With --group several of them, also a "
     "group or @tag for all of its.",
     true, true},
};
constexpr std::string_view examples[] = {
    "tvsnapshot -n before-upgrade vg0/root", "tvsnapshot --new-uuid -n twin vg0/root",
    "tvsnapshot --group -n {origin}-{time} vg0/data vg0/journal"};

int run(Invocation& call) {
    if (call.operands().size() > 1 && !call.has("group"))
        return call.usage("Snapshots of several volumes at one instant are asked for by --group.");
    return make_snapshots(call, call.operands(), call.has("group"));
}

}  // namespace

constexpr CommandSpec tvsnapshot{
    .name = "tvsnapshot",
    .summary = "Create a snapshot of a thin volume, or of several at one instant.",
    .options = options,
    .operands = operands,
    .conflicts = conflicts,
    .examples = examples,
    .run = run,
    .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvsnapshot));

}  // namespace thinvol
