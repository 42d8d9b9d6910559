#include "libvm/hook_runner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "engine/base/unique_fd.h"

namespace thinvol {
namespace {

constexpr std::size_t waiting_max = 100;

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> all;
    for (std::string& s : strings) all.push_back(s.data());
    all.push_back(nullptr);
    return all;
}

// posix_spawn's two descriptions, of what the child's descriptors and signals are.
class SpawnSetup {
public:
    explicit SpawnSetup(int input) {
        ::posix_spawn_file_actions_init(&files);
        ::posix_spawn_file_actions_adddup2(&files, input, 0);
        ::posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
        ::posix_spawn_file_actions_addclosefrom_np(&files, 3);
        ::posix_spawnattr_init(&attributes);
        sigset_t none;
        sigset_t all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        ::posix_spawnattr_setsigmask(&attributes, &none);
        ::posix_spawnattr_setsigdefault(&attributes, &all);
        ::posix_spawnattr_setpgroup(&attributes, 0);
        ::posix_spawnattr_setflags(
            &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    }
    SpawnSetup(const SpawnSetup&) = delete;
    SpawnSetup& operator=(const SpawnSetup&) = delete;
    ~SpawnSetup() {
        ::posix_spawn_file_actions_destroy(&files);
        ::posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_t files{};
    posix_spawnattr_t attributes{};
};

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
    std::vector<std::string> words = hook.command;
    std::vector<std::string> variables = hook.variables;
    std::vector<char*> environment = pointers(variables);
    environment.pop_back();
    for (char** v = ::environ; *v != nullptr; ++v) environment.push_back(*v);
    environment.push_back(nullptr);
    SpawnSetup setup(reading.get());
    pid_t pid = 0;
    const int error = ::posix_spawnp(&pid, words.front().c_str(), &setup.files, &setup.attributes,
                                     pointers(words).data(), environment.data());
    if (error != 0 || written < 0) {
        fmt::print(stderr, "thinvold: hook {}: {}\n", words.front(),
                   std::strerror(error != 0 ? error : EIO));
    }
    if (error == 0) running_.push_back({pid, words.front(), Clock::now() + hook.limit});
}

}  // namespace thinvol
