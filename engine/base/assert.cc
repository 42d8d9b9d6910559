#include "engine/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace thinvol {

void assertion_failed(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "thinvol: %s:%d: assertion failed: %s\n", file, line, condition);
    std::abort();
}

}  // namespace thinvol
