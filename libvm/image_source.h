// ImageSource: the bytes of a disk image, in order: of a file, with its holes skipped, of a pipe,
// or of an image that QEMU's tools read.
//
// Units       bytes
// Invariants  what read() skips reads as zeroes
// Errors      not_found, io_error, invalid_argument: it is a directory, say; busy: interrupted
// Threads     one
// Source      lseek(2), SEEK_DATA
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/base/result.h"
#include "engine/base/units.h"
#include "libvm/qemu_image.h"

namespace thinvol {

// Whether somebody wants a long run to end.
using Interrupted = std::function<bool()>;
Error interrupted_error();

class ImageSource {
public:
    virtual ~ImageSource() = default;
    // Of a pipe, nothing.
    virtual std::optional<Bytes> size() const = 0;
    // Moves `at`, a multiple of `unit`, to the next one where something is, and reads from there
    // on: all of `into`, unless the end comes before. 0: nothing comes any more.
    virtual Result<Bytes> read(ByteOffset& at, std::span<std::byte> into, Bytes unit) = 0;

    // "-" is standard input.
    static Result<std::unique_ptr<ImageSource>> open_raw(const std::string& path,
                                                         Interrupted interrupted);
    static std::unique_ptr<ImageSource> of(std::unique_ptr<QemuImage> image);
};

}  // namespace thinvol
