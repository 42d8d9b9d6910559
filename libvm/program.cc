#include "libvm/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "engine/base/unique_fd.h"

namespace thinvol {
namespace {

constexpr off_t output_kept = 2000;

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> all;
    for (std::string& s : strings) all.push_back(s.data());
    all.push_back(nullptr);
    return all;
}

// posix_spawn's two descriptions, of what the child's descriptors and signals are.
class SpawnSetup {
public:
    explicit SpawnSetup(const ProgramDescriptors& descriptors) {
        ::posix_spawn_file_actions_init(&files);
        give(0, descriptors.input, O_RDONLY);
        give(1, descriptors.output, O_WRONLY);
        give(2, descriptors.errors, O_WRONLY);
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

private:
    void give(int number, int descriptor, int flags) {
        if (descriptor < 0)
            ::posix_spawn_file_actions_addopen(&files, number, "/dev/null", flags, 0);
        else ::posix_spawn_file_actions_adddup2(&files, descriptor, number);
    }
};

// The end of it: many lines become one.
std::string end_of(int file) {
    const off_t size = std::max<off_t>(::lseek(file, 0, SEEK_END), 0);
    std::string text(static_cast<std::size_t>(std::min(size, output_kept)), '\0');
    const ssize_t n =
        ::pread(file, text.data(), text.size(), size - static_cast<off_t>(text.size()));
    text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    std::vector<std::string> lines;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find_first_of("\r\n", begin), text.size());
        if (end > begin) lines.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return fmt::format("{}", fmt::join(lines, "; "));
}

// Nothing: it took too long, and is killed.
std::optional<int> wait_for(pid_t child, std::optional<std::chrono::seconds> limit) {
    bool in_time = true;
    if (limit) {
        const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
        const auto end = std::chrono::steady_clock::now() + *limit;
        pollfd ended{process.get(), POLLIN, 0};
        for (int n = -1; n < 0;) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(
                end - std::chrono::steady_clock::now());
            n = ::poll(&ended, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
            if (n < 0 && errno != EINTR) break;
            in_time = n > 0;
        }
        if (!in_time) ::kill(-child, SIGKILL);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (!in_time) return std::nullopt;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Result<pid_t> start_program(const Program& program, const ProgramDescriptors& descriptors) {
    std::vector<std::string> words = program.words;
    std::vector<std::string> variables = program.variables;
    std::vector<char*> environment = pointers(variables);
    environment.pop_back();
    for (char** v = ::environ; *v != nullptr; ++v) environment.push_back(*v);
    environment.push_back(nullptr);
    SpawnSetup setup(descriptors);
    pid_t pid = 0;
    const int error = ::posix_spawnp(&pid, words.front().c_str(), &setup.files, &setup.attributes,
                                     pointers(words).data(), environment.data());
    if (error == 0) return pid;
    return Error(error == ENOENT ? Errc::not_found : Errc::io_error,
                 fmt::format("{}: {}", words.front(), std::strerror(error)));
}

Result<ProgramEnd> run_program(const Program& program, std::optional<std::chrono::seconds> limit) {
    // A file, not a pipe: nobody is killed for writing to it once this process is gone.
    const UniqueFd output(::memfd_create("output", MFD_CLOEXEC));
    if (!output) return Error(Errc::io_error, fmt::format("memfd: {}", std::strerror(errno)));
    const pid_t child = TRY(start_program(program, {-1, output.get(), output.get()}));
    const auto status = wait_for(child, limit);
    std::string said = end_of(output.get());
    if (status) return ProgramEnd{*status, std::move(said)};
    return Error(Errc::io_error, fmt::format("{} took more than {} seconds and was killed{}{}",
                                             program.words.front(), limit->count(),
                                             said.empty() ? "" : ": ", said));
}

Result<> run_to_success(const Program& program, std::optional<std::chrono::seconds> limit) {
    const ProgramEnd end = TRY(run_program(program, limit));
    if (end.status == 0) return {};
    return Error(Errc::io_error,
                 fmt::format("{} ended with {}{}{}", program.words.front(), end.status,
                             end.output.empty() ? "" : ": ", end.output));
}

Result<std::string> find_program(const std::string& name) {
    const char* path = std::getenv("PATH");
    const std::string directories =
        std::string(path == nullptr ? "/usr/bin:/bin" : path) + ":/usr/sbin:/sbin";
    for (std::size_t begin = 0; begin <= directories.size();) {
        const std::size_t end = std::min(directories.find(':', begin), directories.size());
        const std::string file = directories.substr(begin, end - begin) + "/" + name;
        if (::access(file.c_str(), X_OK) == 0) return file;
        begin = end + 1;
    }
    return Error(Errc::not_found, fmt::format("{} is not installed", name));
}

}  // namespace thinvol
