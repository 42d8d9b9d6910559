#include "engine/base/result.h"

#include <cerrno>

namespace thinvol {

int errno_of(Errc code) {
    switch (code) {
        case Errc::io_error: return EIO;
        case Errc::corrupt: return EIO;
        case Errc::out_of_space: return ENOSPC;
        case Errc::not_found: return ENOENT;
        case Errc::exists: return EEXIST;
        case Errc::busy: return EBUSY;
        case Errc::invalid_argument: return EINVAL;
        case Errc::unsupported: return ENOTSUP;
        case Errc::read_only: return EROFS;
    }
    return EIO;
}

}  // namespace thinvol
