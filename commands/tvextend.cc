#include "commands/resize.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"size", 'L', Value::size, "Larger size, or +size."},
    {"extents", 'l', Value::extents, "The same in extents or percent."},
    {"poolmetadatasize", 0, Value::size, "Size of a pool's metadata."},
    {"use-policies", 0, Value::none,
     "Extend the pool as its server would: the settings autoextend."},
    {"resizefs", 'r', Value::none, "The file system on it grows as well: ext2 to ext4 and XFS."},
};
constexpr OperandSpec operands[] = {
    {"VG/LV", Value::volume, "Thin volume or pool."},
    {"PV", Value::physical_volume, "Physical volumes to take a pool's extents from.", false, true},
};
constexpr std::string_view examples[] = {"tvextend -r -L +10g vg0/root",
                                         "tvextend -l +50%LV vg0/root",
                                         "tvextend -L +100g --poolmetadatasize +64m vg0/pool0"};
constexpr Conflict conflicts[] = {{"size", "extents"},
                                  {"use-policies", "size"},
                                  {"use-policies", "extents"},
                                  {"use-policies", "poolmetadatasize"},
                                  {"use-policies", "resizefs"}};

int run(Invocation& call) { return resize(call, ResizeDirection::grow); }

}  // namespace

constexpr CommandSpec tvextend{.name = "tvextend",
                               .summary = "Make thin volumes and pools larger.",
                               .options = options,
                               .operands = operands,
                               .conflicts = conflicts,
                               .examples = examples,
                               .run = run,
                               .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvextend));

}  // namespace thinvol
