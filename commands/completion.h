// completion: what could stand where a user pressed TAB, from the commands' declarations and the
// catalog.
//
// Units       none
// Invariants  (1) reads the catalog only: no lock, no physical volume, no server, and of a large
//                 group only what fits (name_search.h); without a catalog, no names
//             (2) offers nothing that the command would refuse for its kind
// Errors      none: what cannot be read is not offered
// Threads     one
// Source      bash(1), "Programmable Completion"
#pragma once

#include <string>
#include <vector>

#include "libvm/environment.h"

namespace thinvol {

struct Candidate {
    std::string word;  // the whole of it
    std::string help;
};
struct Completion {
    std::vector<Candidate> candidates;  // sorted
    bool files = false;                 // the shell's own file names fit here
    bool more_follows = false;          // no space behind a single candidate: "vg0/"
};

// `words`: the command line, the command first; `at`: the word the cursor is in, which may be empty
// or missing.
Completion complete(const Environment& environment, std::vector<std::string> words, std::size_t at);

}  // namespace thinvol
