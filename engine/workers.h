// Workers: how work is spread over processors, by whoever calls: the engine starts no thread of its
// own. A tool gives worker_threads; without any, this thread does everything.
//
// Units       none
// Invariants  run() returns when body has returned everywhere
// Errors      none
// Threads     body runs on several at once
// Source      none
#pragma once

#include <functional>

namespace thinvol {

class Workers {
public:
    virtual ~Workers() = default;
    virtual void run(const std::function<void()>& body) = 0;
};

class OneWorker : public Workers {
public:
    void run(const std::function<void()>& body) override { body(); }
};

}  // namespace thinvol
