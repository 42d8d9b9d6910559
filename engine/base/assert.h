// assert: checks for our own mistakes, never for what a disk, a socket or a user handed us.
//
// Units       none
// Invariants  ASSERT is on in every build; DEBUG_ASSERT only where NDEBUG is not defined (hot
//             loops)
// Errors      a failed assertion prints file, line and condition, and aborts the process
// Threads     any
// Source      none
#pragma once

namespace thinvol {

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);

// A function, so that who counts branches counts one for all assertions.
constexpr void asserted(bool holds, const char* condition, const char* file, int line) {
    if (!holds) [[unlikely]]
        assertion_failed(condition, file, line);
}

}  // namespace thinvol

#define ASSERT(condition) \
    ::thinvol::asserted(static_cast<bool>(condition), #condition, __FILE__, __LINE__)
#ifdef NDEBUG
#define DEBUG_ASSERT(condition) void(0)
#else
#define DEBUG_ASSERT(condition) ASSERT(condition)
#endif
