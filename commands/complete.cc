#include "commands/invocation.h"
#include "commands/table.h"
namespace thinvol {
namespace { int run(Invocation&) { return 0; } }
constexpr CommandSpec complete_command{.name = "complete", .summary = "Answer a shell's completion.", .run = run, .hidden = true};
}
