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

}  // namespace thinvol

#define ASSERT(condition)               \
    (__builtin_expect(!!(condition), 1) \
         ? void(0)                      \
         : ::thinvol::assertion_failed(#condition, __FILE__, __LINE__))
#ifdef NDEBUG
#define DEBUG_ASSERT(condition) void(0)
#else
#define DEBUG_ASSERT(condition) ASSERT(condition)
#endif
