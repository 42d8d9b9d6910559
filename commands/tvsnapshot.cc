#include "commands/snapshots.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"name", 'n', Value::name, "Name of the new snapshot."},
    {"permission", 'p', Value::permission, "Whether it may be written."},
    {"setactivationskip", 'k', Value::yes_no,
     "Whether its activation is skipped without -K; y unless set otherwise."},
    {"size", 'L', Value::size, "Refused: a thin snapshot has no size of its own."},
    {"extents", 'l', Value::extents, "Refused, as --size."},
};
constexpr OperandSpec operands[] = {
    {"VG/Thin", Value::thin, "Thin volume to take the snapshot of; it may be in use."},
};
constexpr std::string_view examples[] = {"tvsnapshot -n before-upgrade vg0/root"};

int run(Invocation& call) { return make_snapshot(call); }

}  // namespace

constexpr CommandSpec tvsnapshot{.name = "tvsnapshot",
                                 .summary = "Create a snapshot of a thin volume.",
                                 .options = options,
                                 .operands = operands,
                                 .examples = examples,
                                 .run = run};
static_assert(well_formed(tvsnapshot));

}  // namespace thinvol
