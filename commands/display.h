// display: what tvdisplay, tvgdisplay and tvpvdisplay have in common: a paragraph for each object,
// a line for each field that says something.
//
// Units       none
// Invariants  none
// Errors      reported; the exit status is returned
// Threads     one
// Source      lvdisplay(8), vgdisplay(8), pvdisplay(8)
#pragma once

#include "commands/invocation.h"
#include "libvm/report.h"

namespace thinvol {

struct DisplayLine {
    std::string_view label;
    std::string_view field;
};

// Of the objects that the operands name, or of all; physical volumes are named by their first
// field.
int run_display(Invocation& call, ReportKind kind, std::string_view title,
                std::span<const DisplayLine> lines);

}  // namespace thinvol
