// select: -S on commands: the objects that a selection means, in place of operands or among them.
//
// Units       none
// Invariants  nothing is changed where the selection, or an operand beside it, is wrong
// Errors      as Selection and make_report
// Threads     one
// Source      lvm(8), "--select"
#pragma once

#include "commands/invocation.h"
#include "libvm/report.h"

namespace thinvol {

#define SELECT_OPTION                 \
    {"select", 'S', Value::selection, \
     "Only what meets these criteria: lv_size>1g && lv_tags=old; help explains them."}

enum class Selected { volumes, thins, pools };
// The operands; with -S, each volume that it means among them, or among all. Volumes come before
// their pools. Says so if there is none.
Result<std::vector<std::string>> selected_operands(Invocation& call, Selected wanted);
// What a report's operands name: volumes or groups, or physical volumes by path; "@tag" what
// carries it.
struct NamedObjects {
    std::vector<Reference> objects;
    std::vector<std::string> paths;
    bool none = false;  // operands, but nothing that carries their tags
};
Result<NamedObjects> named_objects(Invocation& call, ReportKind kind);
// What the command's -S selects from.
ReportKind selects_from(const CommandSpec& spec);

}  // namespace thinvol
