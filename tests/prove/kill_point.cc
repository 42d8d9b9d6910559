#include "tests/prove/kill_point.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

namespace thinvol {
namespace {

bool noticeable(const __ptrace_syscall_info& info) {
    constexpr std::uint64_t calls[] = {
        SYS_write,     SYS_pwrite64,  SYS_writev,    SYS_pwritev,         SYS_pwritev2,
        SYS_fsync,     SYS_fdatasync, SYS_sync,      SYS_sync_file_range, SYS_ftruncate,
        SYS_fallocate, SYS_renameat,  SYS_renameat2, SYS_unlinkat,        SYS_linkat,
        SYS_symlinkat, SYS_mkdirat,   SYS_sendto,    SYS_sendmsg,         SYS_sendmmsg,
        SYS_bind,      SYS_listen,    SYS_connect,   SYS_io_uring_enter,  SYS_kill,
        SYS_execve,
#ifdef SYS_rename
        SYS_rename,    SYS_unlink,    SYS_link,      SYS_symlink,         SYS_mkdir,
        SYS_rmdir,
#endif
    };
    if (info.entry.nr == SYS_openat) return (info.entry.args[2] & O_CREAT) != 0;
    return std::find(std::begin(calls), std::end(calls), info.entry.nr) != std::end(calls);
}

pid_t group_of(pid_t thread) {
    // Only the group's first thread has a directory of its own that readdir shows; asking works for
    // all.
    const std::string path = "/proc/" + std::to_string(thread) + "/status";
    std::FILE* file = std::fopen(path.c_str(), "re");
    if (file == nullptr) return thread;
    pid_t group = thread;
    char line[256];
    while (std::fgets(line, sizeof line, file) != nullptr) {
        if (std::sscanf(line, "Tgid: %d", &group) == 1) break;
    }
    std::fclose(file);
    return group;
}

class Tracer {
public:
    explicit Tracer(const KillOrder& order) : order_(order) {}
    Result<KilledRun> run(const std::vector<std::string>& command, const std::string& output);

private:
    Result<> seize(pid_t thread);
    Result<> seize_server();
    void handle(pid_t thread, int status);
    bool is_victim(pid_t thread);
    void point(pid_t thread);
    void let_go();

    const KillOrder& order_;
    pid_t command_ = 0;
    std::map<pid_t, pid_t> threads_;  // that are traced -> their group
    KilledRun result_;
    bool ended_ = false;
};

pid_t start(const std::vector<std::string>& command, const std::string& output, bool stopped) {
    const pid_t child = ::fork();
    if (child != 0) return child;
    const int in = ::open("/dev/null", O_RDONLY);
    const int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ::dup2(in, 0);
    ::dup2(out, 1);
    ::dup2(out, 2);
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    if (stopped) ::raise(SIGSTOP);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
}

Result<> Tracer::seize(pid_t thread) {
    const auto events = order_.victim == Victim::started
                            ? PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK
                            : PTRACE_O_TRACECLONE;
    if (::ptrace(PTRACE_SEIZE, thread, nullptr, PTRACE_O_TRACESYSGOOD | events) != 0)
        return Error(Errc::io_error, std::string("ptrace: ") + std::strerror(errno));
    threads_[thread] = group_of(thread);
    return {};
}

Result<> Tracer::seize_server() {
    const std::string tasks = "/proc/" + std::to_string(order_.server) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks)) {
        const auto thread = static_cast<pid_t>(std::stol(task.path().filename().string()));
        TRY(seize(thread));
        ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
    }
    return {};
}

bool Tracer::is_victim(pid_t thread) {
    auto [it, fresh] = threads_.try_emplace(thread, 0);
    if (fresh) it->second = group_of(thread);
    return order_.victim == Victim::started ? it->second != command_ : true;
}

void Tracer::point(pid_t thread) {
    if (++result_.points == order_.at) ::kill(threads_[thread], order_.signal);
}

void Tracer::handle(pid_t thread, int status) {
    int pass_on = 0;
    const int event = status >> 16;
    const int signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80)) {
        __ptrace_syscall_info info{};
        ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && is_victim(thread) && noticeable(info))
            point(thread);
    } else if (event == 0) {
        pass_on = signal;
    } else if (event == PTRACE_EVENT_STOP && (signal == SIGSTOP || signal == SIGTSTP)) {
        is_victim(thread);  // takes note of it
    }
    ::ptrace(PTRACE_SYSCALL, thread, nullptr, pass_on);
}

// Who lives on goes on without us. Some may end just now: those are waited for in any order, since
// a group's first thread is the last to go.
void Tracer::let_go() {
    for (const auto& [thread, group] : threads_)
        ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
    std::set<pid_t> gone;
    while (!threads_.empty()) {
        int status = 0;
        const pid_t thread = ::waitpid(-1, &status, __WALL);
        if (thread < 0) return;
        threads_.erase(thread);
        gone.insert(thread);
        if (!WIFSTOPPED(status)) continue;
        const int event = status >> 16;
        if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK ||
            event == PTRACE_EVENT_VFORK) {  // its child is traced too, and stops first of all
            unsigned long child = 0;
            ::ptrace(PTRACE_GETEVENTMSG, thread, nullptr, &child);
            if (!gone.contains(static_cast<pid_t>(child))) threads_[static_cast<pid_t>(child)] = 0;
        }
        const bool for_us = event != 0 || WSTOPSIG(status) == (SIGTRAP | 0x80);
        ::ptrace(PTRACE_DETACH, thread, nullptr, for_us ? 0 : WSTOPSIG(status));
    }
}

Result<KilledRun> Tracer::run(const std::vector<std::string>& command, const std::string& output) {
    const bool traced = order_.victim != Victim::server;
    if (!traced) TRY(seize_server());
    command_ = start(command, output, traced);
    if (traced) {
        int status = 0;
        ::waitpid(command_, &status, WUNTRACED);
        TRY(seize(command_));
        ::kill(command_, SIGCONT);
    }
    while (!ended_) {
        int status = 0;
        const pid_t thread = ::waitpid(-1, &status, __WALL);
        if (thread < 0)
            return Error(Errc::io_error, std::string("waitpid: ") + std::strerror(errno));
        if (WIFSTOPPED(status)) {
            handle(thread, status);
            continue;
        }
        threads_.erase(thread);
        if (thread == command_) {
            result_.status = status;
            ended_ = true;
        }
    }
    let_go();
    return result_;
}

}  // namespace

Result<KilledRun> run_killed(const std::vector<std::string>& command, const std::string& output,
                             const KillOrder& order) {
    return Tracer(order).run(command, output);
}

}  // namespace thinvol
