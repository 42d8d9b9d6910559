#include "commands/resize.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"size", 'L', Value::size, "Smaller size, or -size."},
    {"extents", 'l', Value::extents, "The same in extents or percent."},
    {"force", 'f', Value::none, "Do not ask before making a volume smaller.", true},
    {"resizefs", 'r', Value::none,
     "The file system on it shrinks first: ext2 to ext4, not mounted."},
};
constexpr OperandSpec operands[] = {
    {"VG/LV", Value::volume, "Thin volume or pool."},
};
constexpr std::string_view examples[] = {"tvreduce -r -L -1g vg0/root"};
constexpr Conflict conflicts[] = {{"size", "extents"}};

int run(Invocation& call) { return resize(call, ResizeDirection::shrink); }

}  // namespace

constexpr CommandSpec tvreduce{
    .name = "tvreduce",
    .summary = "Make thin volumes smaller; what lies behind the new end is given back.",
    .options = options,
    .operands = operands,
    .conflicts = conflicts,
    .examples = examples,
    .run = run,
    .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvreduce));

}  // namespace thinvol
