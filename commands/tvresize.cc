#include "commands/resize.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"size", 'L', Value::size, "New size, +size or -size."},
    {"extents", 'l', Value::extents, "The same in extents or percent."},
    {"poolmetadatasize", 0, Value::size, "Size of a pool's metadata."},
    {"force", 'f', Value::none, "Do not ask before making a volume smaller.", true},
    {"resizefs", 'r', Value::none, "The file system on it follows, as with tvextend or tvreduce."},
};
constexpr OperandSpec operands[] = {
    {"VG/LV", Value::volume, "Thin volume or pool."},
    {"PV", Value::physical_volume, "Physical volumes to take a pool's extents from.", false, true},
};
constexpr std::string_view examples[] = {"tvresize -L 20g vg0/root",
                                         "tvresize -l +100%FREE vg0/pool0",
                                         "tvresize --poolmetadatasize +1g vg0/pool0"};
constexpr Conflict conflicts[] = {{"size", "extents"}};

int run(Invocation& call) { return resize(call, ResizeDirection::either); }

}  // namespace

constexpr CommandSpec tvresize{.name = "tvresize",
                               .summary = "Change the size of thin volumes and pools.",
                               .options = options,
                               .operands = operands,
                               .conflicts = conflicts,
                               .examples = examples,
                               .run = run,
                               .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvresize));

}  // namespace thinvol
