// external_origin: a file or block device that thin volumes show where they have nothing of their
// own.
//
// Units       bytes
// Invariants  it is only read, and locked as a physical volume in use is while a volume over it is
//             active, so that none is made of it
// Errors      not_found, busy; invalid_argument: neither file nor block device, or no whole number
//             of sectors; corrupt: it has another size than when the volume was made
// Threads     as the queue's
// Source      lvmthin(7), "External origin"
#pragma once

#include <memory>
#include <string>

#include "engine/block_queue.h"

namespace thinvol {

struct ExternalOrigin {
    std::string path;  // absolute, links resolved
    Bytes size{};
};
Result<ExternalOrigin> find_external_origin(const std::string& path);

// As ThinRow::external_origin keeps it.
std::string to_text(const ExternalOrigin& origin);
// corrupt: it is no such text.
Result<ExternalOrigin> parse_external_origin(const std::string& text);

Result<std::unique_ptr<BlockQueue>> open_external_origin(const std::string& text);

}  // namespace thinvol
