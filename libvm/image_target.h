// ImageTarget: where the bytes of a volume go: a file with holes where there is nothing, a pipe
// with zeroes there, or an image that QEMU's tools write.
//
// Units       bytes
// Invariants  (1) a file has its name when all of it is durable, and not before: until then it is
//                 FILE.PID.new beside it
// Errors      exists: a file is there; invalid_argument: a directory or a block device;
//             out_of_space, io_error
// Threads     one at a time
// Source      rename(2), fsync(2)
#pragma once

#include <memory>
#include <span>
#include <string>

#include "engine/base/result.h"
#include "engine/base/units.h"

namespace thinvol {

class ImageTarget {
public:
    virtual ~ImageTarget() = default;
    // Ascending; what is left out between reads as zeroes.
    virtual Result<> write(ByteOffset at, std::span<std::byte> bytes) = 0;
    // All was written. Without it nothing is left of what was.
    virtual Result<> finish() = 0;

    // `path` "-" is standard output; what is no regular file is written as a pipe is.
    struct Wanted {
        std::string path;
        std::string format = "raw";
        Bytes size{};
        bool replace = false;  // a file that is there
    };
    static Result<std::unique_ptr<ImageTarget>> open(const Wanted& wanted);
};

}  // namespace thinvol
