// metadata_fixture: commits a ThinMetadata to a MemoryQueue, and judges what lies there.
//
// Units       none
// Invariants  commit() follows C1's order on one device: blocks, then the superblock
// Errors      fails the running test
// Threads     one
// Source      none
#pragma once

#include <catch2/catch_test_macros.hpp>

#include "engine/check.h"
#include "engine/thin_metadata.h"
#include "tests/support/judges.h"
#include "tests/support/memory_queue.h"

namespace thinvol {

// The value of a Result, or a failed test with the error's text.
template <class T>
T must(Result<T>&& r) {
    if (!r) FAIL(r.error().text);
    return take(std::move(r));
}

// Commits; hands freed data blocks back at once, as there is no I/O in flight in these tests.
// `before_superblock()` sees the device as a crash just then would leave it.
template <class Look>
void commit(ThinMetadata& md, MemoryQueue& device, Look&& before_superblock) {
    if (!md.changed()) return;
    const SealedCommit sealed = must(md.seal());
    for (Frame* frame : sealed.frames)
        must(write_now(device, to_sector(frame->at), frame->block()));
    before_superblock();
    must(write_now(device, Sector(0), sealed.superblock));
    for (DataBlock b : md.settle(sealed)) md.hand_back(b);
    md.trim();
}
inline void commit(ThinMetadata& md, MemoryQueue& device) {
    commit(md, device, [] {});
}

// The independent recount finds nothing.
inline void require_clean(BlockQueue& device) {
    const CheckReport report = must(check_metadata(device));
    for (const auto& finding : report.findings) UNSCOPED_INFO(finding.text);
    REQUIRE(report.clean());
}

}  // namespace thinvol
