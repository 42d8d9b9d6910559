#include "tests/support/processes.h"

#include <fmt/format.h>
#include <signal.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace thinvol {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<pid_t> numbers_in(const fs::path& folder) {
    std::vector<pid_t> numbers;
    std::error_code gone;
    for (fs::directory_iterator it(folder, gone); !gone && it != fs::directory_iterator();
         it.increment(gone)) {
        const std::string name = it->path().filename().string();
        pid_t number = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
        if (error == std::errc() && end == name.data() + name.size()) numbers.push_back(number);
    }
    return numbers;
}

std::string line_of(const std::string& status, const std::string& key) {
    const std::size_t at = status.find(key + ":\t");
    if (at == std::string::npos) return "?";
    const std::size_t from = at + key.size() + 2;
    return status.substr(from, status.find('\n', from) - from);
}

}  // namespace

std::vector<pid_t> processes_with(std::string_view in_environment) {
    std::vector<pid_t> found;
    for (const pid_t pid : numbers_in("/proc")) {
        if (content(fmt::format("/proc/{}/environ", pid)).contains(in_environment))
            found.push_back(pid);
    }
    return found;
}

std::string describe_process(pid_t pid) {
    const fs::path process = fmt::format("/proc/{}", pid);
    std::string command = content(process / "cmdline");
    for (char& c : command) {
        if (c == '\0' || c == '\n') c = ' ';
    }
    std::string text = fmt::format("process {}: {}\n", pid, command.substr(0, 200));
    for (const pid_t thread : numbers_in(process / "task")) {
        const fs::path task = process / "task" / std::to_string(thread);
        const std::string status = content(task / "status");
        const std::string call = content(task / "syscall");
        text += fmt::format("  thread {} {}: {}, traced by {}, system call {}, in {}\n", thread,
                            line_of(status, "Name"), line_of(status, "State"),
                            line_of(status, "TracerPid"), call.substr(0, call.find('\n')),
                            content(task / "wchan"));
    }
    return text;
}

std::string end_processes(const std::vector<pid_t>& pids) {
    std::string text;
    for (const pid_t pid : pids) text += describe_process(pid);
    for (const pid_t pid : pids) ::kill(pid, SIGKILL);
    return text;
}

}  // namespace thinvol
