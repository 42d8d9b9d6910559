#include "commands/resize.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"size", 'L', Value::size, "Larger size, or +size."},
    {"extents", 'l', Value::extents, "The same in extents or percent."},
    {"poolmetadatasize", 0, Value::size, "Size of a pool's metadata."},
};
constexpr OperandSpec operands[] = {
    {"VG/LV", Value::volume, "Thin volume or pool."},
    {"PV", Value::physical_volume, "Physical volumes to take a pool's extents from.", false, true},
};
constexpr Conflict conflicts[] = {{"size", "extents"}};

int run(Invocation& call) { return resize(call, ResizeDirection::grow); }

}  // namespace

constexpr CommandSpec tvextend{.name = "tvextend",
                               .summary = "Make thin volumes and pools larger.",
                               .options = options,
                               .operands = operands,
                               .conflicts = conflicts,
                               .run = run,
                               .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvextend));

}  // namespace thinvol
