#include "libvm/hook_runner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "engine/base/unique_fd.h"
#include "libvm/program.h"

namespace thinvol {
namespace {

constexpr std::size_t waiting_max = 100;

}  // namespace

HookRunner::~HookRunner() {
    for (const Running& hook : running_) ::kill(-hook.pid, SIGTERM);
}

void HookRunner::add(Hook hook) {
    if (waiting_.size() >= waiting_max) {
        fmt::print(stderr, "thinvold: {} hooks wait; the oldest is dropped\n", waiting_.size());
        waiting_.pop_front();
    }
    waiting_.push_back(std::move(hook));
}

void HookRunner::turn(std::size_t at_once) {
    std::erase_if(running_, ended);
    for (const Running& hook : running_) {
        if (Clock::now() < hook.end) continue;
        fmt::print(stderr, "thinvold: hook {} takes too long and is killed\n", hook.program);
        ::kill(-hook.pid, SIGKILL);
    }
    while (!waiting_.empty() && running_.size() < at_once) {
        start(waiting_.front());
        waiting_.pop_front();
    }
}

bool HookRunner::ended(const Running& hook) {
    int status = 0;
    if (::waitpid(hook.pid, &status, WNOHANG) == 0) return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        fmt::print(stderr, "thinvold: hook {} ended with {}\n", hook.program, WEXITSTATUS(status));
    return true;
}

void HookRunner::start(const Hook& hook) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return;
    const UniqueFd reading(pipe[0]);
    const UniqueFd writing(pipe[1]);
    // An empty pipe takes an event at once; one that did not fit would be cut, not waited for.
    ::fcntl(writing.get(), F_SETFL, O_NONBLOCK);
    const ssize_t written = ::write(writing.get(), hook.input.data(), hook.input.size());
    const auto pid =
        start_program({hook.command, hook.variables}, {reading.get(), -1, STDERR_FILENO});
    if (!pid || written < 0) {
        fmt::print(stderr, "thinvold: hook {}\n",
                   !pid ? pid.error().text : hook.command.front() + ": its input is too long");
    }
    if (pid) running_.push_back({*pid, hook.command.front(), Clock::now() + hook.limit});
}

}  // namespace thinvol
