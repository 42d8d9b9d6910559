#include "commands/worker_threads.h"

#include <sched.h>

#include <algorithm>
#include <system_error>
#include <thread>
#include <vector>

namespace thinvol {
namespace {

unsigned processors() {
    constexpr unsigned most = 8;
    cpu_set_t allowed;
    if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
    return std::clamp(static_cast<unsigned>(CPU_COUNT(&allowed)), 1U, most);
}

}  // namespace

void WorkerThreads::run(const std::function<void()>& body) {
    std::vector<std::jthread> others;
    try {
        for (unsigned n = processors(); n > 1; --n) others.emplace_back(body);
    } catch (const std::system_error&) {
        return body();  // beside as many as there are
    }
    body();
}

}  // namespace thinvol
