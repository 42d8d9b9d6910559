// WorkerThreads: a tool's processors; each run() uses those that this process may run on.
//
// Units       none
// Invariants  the caller's thread is one of them
// Errors      none: where no thread can be started, the caller's does the work
// Threads     one caller
// Source      sched_getaffinity(2)
#pragma once

#include "engine/workers.h"

namespace thinvol {

class WorkerThreads : public Workers {
public:
    void run(const std::function<void()>& body) override;
};

}  // namespace thinvol
