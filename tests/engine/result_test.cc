// Goal: each kind of error is the errno that protocols know it by. Method: all of them.
#include "engine/base/result.h"

#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <utility>

namespace thinvol {

TEST_CASE("each kind of error has its errno") {
    for (const auto& [code, number] : {
             std::pair(Errc::io_error, EIO),
             std::pair(Errc::corrupt, EIO),
             std::pair(Errc::out_of_space, ENOSPC),
             std::pair(Errc::not_found, ENOENT),
             std::pair(Errc::exists, EEXIST),
             std::pair(Errc::busy, EBUSY),
             std::pair(Errc::invalid_argument, EINVAL),
             std::pair(Errc::unsupported, ENOTSUP),
             std::pair(Errc::read_only, EROFS),
         }) {
        CAPTURE(int(code));
        CHECK(errno_of(code) == number);
    }
}

}  // namespace thinvol
