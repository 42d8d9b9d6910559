#include "tests/prove/kill_point.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
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

// While there is one, waits are interrupted every now and then, so that they can end.
class Interruptions {
public:
    Interruptions() {
        struct sigaction action{};
        action.sa_handler = [](int) {};
        ::sigaction(SIGALRM, &action, &before_);
        const itimerval often{{0, 200'000}, {0, 200'000}};
        ::setitimer(ITIMER_REAL, &often, nullptr);
    }
    ~Interruptions() {
        const itimerval never{};
        ::setitimer(ITIMER_REAL, &never, nullptr);
        ::sigaction(SIGALRM, &before_, nullptr);
    }

private:
    struct sigaction before_{};
};

class Tracer {
public:
    Tracer(const KillOrder& order, const TimeLimit& limit) : order_(order), limit_(limit) {}
    Result<KilledRun> run(const std::vector<std::string>& command, const std::string& output);

private:
    using Clock = std::chrono::steady_clock;
    Result<> follow(const std::vector<std::string>& command, const std::string& output);
    Result<> seize(pid_t thread);
    Result<> seize_server();
    Result<pid_t> wait(int& status);
    void handle(pid_t thread, int status);
    void note_child(pid_t parent);
    bool is_victim(pid_t thread);
    void point(pid_t thread);
    Result<> let_go();

    const KillOrder& order_;
    const TimeLimit& limit_;
    Clock::time_point end_;
    pid_t command_ = 0;
    // Those that are traced -> their group, 0 if not known. A new one is here from its own first
    // stop or from its parent's, whichever is seen first.
    std::map<pid_t, pid_t> threads_;
    std::set<pid_t> seen_;  // stopped or ended at least once
    KilledRun result_;
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
    if (::ptrace(PTRACE_SEIZE, thread, nullptr,
                 PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | events) != 0)
        return Error(Errc::io_error, std::string("ptrace: ") + std::strerror(errno));
    threads_[thread] = group_of(thread);
    return {};
}

// Threads come and go meanwhile: one for each connection, say. Who cannot be seized has ended.
Result<> Tracer::seize_server() {
    TRY(seize(order_.server));
    ::ptrace(PTRACE_INTERRUPT, order_.server, nullptr, nullptr);
    const std::string tasks = "/proc/" + std::to_string(order_.server) + "/task";
    for (bool more = true; more;) {
        more = false;
        std::error_code gone;
        for (std::filesystem::directory_iterator it(tasks, gone), last; !gone && it != last;
             it.increment(gone)) {
            const auto thread = static_cast<pid_t>(std::stol(it->path().filename().string()));
            if (threads_.contains(thread) || !seize(thread)) continue;
            ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
            more = true;
        }
    }
    return {};
}

// 0: there is nobody left to wait for.
Result<pid_t> Tracer::wait(int& status) {
    for (;;) {
        const pid_t thread = ::waitpid(-1, &status, __WALL);
        if (thread > 0) {
            seen_.insert(thread);
            return thread;
        }
        if (errno == ECHILD) return 0;
        if (Clock::now() > end_)
            return Error(Errc::busy, fmt::format("no end after {} seconds", limit_.time.count()));
    }
}

bool Tracer::is_victim(pid_t thread) {
    pid_t& group = threads_[thread];
    if (group == 0) group = group_of(thread);
    return order_.victim == Victim::started ? group != command_ : true;
}

void Tracer::point(pid_t thread) {
    if (++result_.points == order_.at) ::kill(threads_[thread], order_.signal);
}

// It is traced too, and stops first of all; it may have done that, and ended, before its parent is
// looked at.
void Tracer::note_child(pid_t parent) {
    unsigned long child = 0;
    if (::ptrace(PTRACE_GETEVENTMSG, parent, nullptr, &child) != 0) return;
    if (!seen_.contains(static_cast<pid_t>(child))) threads_[static_cast<pid_t>(child)] = 0;
}

bool has_child(int event) {
    return event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK;
}

void Tracer::handle(pid_t thread, int status) {
    int pass_on = 0;
    const int event = status >> 16;
    const int signal = WSTOPSIG(status);
    threads_.try_emplace(thread, 0);
    if (signal == (SIGTRAP | 0x80)) {
        __ptrace_syscall_info info{};
        ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && noticeable(info) && is_victim(thread))
            point(thread);
    } else if (event == 0) {
        pass_on = signal;
    } else if (has_child(event)) {
        note_child(thread);
    }
    ::ptrace(PTRACE_SYSCALL, thread, nullptr, pass_on);
}

// Who lives on goes on without us. Some may end just now: those are waited for in any order, since
// a group's first thread is the last to go.
Result<> Tracer::let_go() {
    for (const auto& [thread, group] : threads_)
        ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
    while (!threads_.empty()) {
        int status = 0;
        const pid_t thread = TRY(wait(status));
        if (thread == 0) return {};
        if (!WIFSTOPPED(status)) {
            threads_.erase(thread);
            continue;
        }
        const int event = status >> 16;
        if (has_child(event)) note_child(thread);
        const bool for_us = event != 0 || WSTOPSIG(status) == (SIGTRAP | 0x80);
        // One that was killed meanwhile cannot be let go: its end is still to come.
        if (::ptrace(PTRACE_DETACH, thread, nullptr, for_us ? 0 : WSTOPSIG(status)) == 0)
            threads_.erase(thread);
        else threads_.try_emplace(thread, 0);
    }
    return {};
}

Result<> Tracer::follow(const std::vector<std::string>& command, const std::string& output) {
    const bool traced = order_.victim != Victim::server;
    if (!traced) TRY(seize_server());
    command_ = start(command, output, traced);
    if (traced) {
        int status = 0;
        while (::waitpid(command_, &status, WUNTRACED) < 0 && errno == EINTR) {}
        TRY(seize(command_));
        ::kill(command_, SIGCONT);
    }
    for (bool ended = false; !ended;) {
        int status = 0;
        const pid_t thread = TRY(wait(status));
        if (thread == 0) return Error(Errc::io_error, "the command is not there any more");
        if (WIFSTOPPED(status)) {
            handle(thread, status);
            continue;
        }
        threads_.erase(thread);
        if (thread == command_) {
            result_.status = status;
            ended = true;
        }
    }
    return let_go();
}

Result<KilledRun> Tracer::run(const std::vector<std::string>& command, const std::string& output) {
    const Interruptions interruptions;
    end_ = Clock::now() + limit_.time;
    const auto followed = follow(command, output);
    if (followed) return result_;
    const std::string state = limit_.end();
    if (command_ > 0) ::kill(command_, SIGKILL);
    end_ = Clock::now() + std::chrono::seconds(10);
    int status = 0;
    for (auto left = wait(status); left && *left > 0;) left = wait(status);
    return Error(followed.error().code, followed.error().text + '\n' + state);
}

}  // namespace

Result<KilledRun> run_killed(const std::vector<std::string>& command, const std::string& output,
                             const KillOrder& order, const TimeLimit& limit) {
    return Tracer(order, limit).run(command, output);
}

}  // namespace thinvol
