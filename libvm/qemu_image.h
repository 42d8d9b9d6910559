// qemu_image: disk images of other formats than raw, by way of QEMU's tools.
//
// The format is always named, never guessed by QEMU: what a guest wrote to a raw disk may look like
// an image that names any file of this machine.
//
// Units       bytes
// Invariants  (1) unless asked for, no file is opened but the image itself
//             (2) the tool ends with this object, and with this process
// Errors      not_found: the tool is not installed, or no such image; invalid_argument: the image
//             is of another format, or names other files; corrupt: it is damaged or cut off,
//             where its format shows that (vdi does not); io_error
// Threads     one
// Source      qemu-nbd(8), qemu-img(1); QEMU's docs/interop/qcow2.txt
#pragma once

#include <memory>
#include <string>

#include "libvm/nbd_client.h"

namespace thinvol {

// What the first 4 KiB of a file say that it is; empty: nothing that is known.
std::string_view image_format_of(std::span<const std::byte> first);

class QemuImage {
public:
    // To be read. `names_others`: the image may use other files that it names.
    static Result<std::unique_ptr<QemuImage>> open(const std::string& path,
                                                   const std::string& format, bool names_others);
    // A new one, to be written; `path` must not be there.
    static Result<std::unique_ptr<QemuImage>> create(const std::string& path,
                                                     const std::string& format, Bytes size);
    ~QemuImage();
    QemuImage(const QemuImage&) = delete;
    QemuImage& operator=(const QemuImage&) = delete;

    NbdClient& nbd() { return *nbd_; }
    // Waits until the tool has put everything in its place.
    Result<> close();

private:
    QemuImage() = default;
    Result<> start(const std::string& path, const std::string& format, bool read_only);

    std::string tool_;
    std::optional<NbdClient> nbd_;
    pid_t child_ = -1;
};

}  // namespace thinvol
