// xml_reader: thin_dump's XML, flat or with shared subtrees, as events for a visitor.
//
// Not a parser of XML: it takes the elements and attributes of this one format, in this format's
// order, with comments, a prolog and white space where XML allows them. Mappings come by the ten
// million, and a scanner that knows what to expect takes them several times as fast as a library.
//
// Units       as MetadataVisitor; errors count lines from 1
// Invariants  (1) memory for one piece of text, a few thousand runs and the names of subtrees; no
//                 element is longer than element_max
//             (2) each attribute once, none that is not known, none missing: what is not understood
//                 is refused, not skipped
//             (3) text after the last element is refused, and so is a file that ends early
// Errors      corrupt, naming the line; what source and visitor return
// Threads     one
// Source      thin-provisioning-tools thin_restore(8), both generations
#pragma once

#include <functional>

#include "engine/metadata_visitor.h"

namespace thinvol {

// Fills the beginning of the buffer, which is not empty, and says how much of it; 0 at the end.
using TextSource = std::function<Result<std::size_t>(std::span<char>)>;

inline constexpr std::size_t element_max = 64 * 1024;  // bytes

Result<> read_xml(const TextSource& source, MetadataVisitor& visitor);

}  // namespace thinvol
