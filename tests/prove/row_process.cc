#include "tests/prove/row_process.h"

#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "engine/base/assert.h"

namespace thinvol {
namespace {

namespace fs = std::filesystem;
constexpr int status_of_skip = 77;

UniqueFd memory_file(const char* name) {
    UniqueFd fd(::memfd_create(name, MFD_CLOEXEC));
    ASSERT(fd);
    return fd;
}

std::string contents(const UniqueFd& fd) {
    const off_t size = ::lseek(fd.get(), 0, SEEK_END);
    std::string text(static_cast<std::size_t>(std::max<off_t>(size, 0)), '\0');
    const ssize_t n = ::pread(fd.get(), text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    return text;
}

std::string last_lines(std::string text, std::size_t lines) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    std::size_t at = text.size();
    while (lines > 0 && at != std::string::npos && at > 0) {
        at = text.rfind('\n', at - 1);
        --lines;
    }
    return at == std::string::npos || at == 0 ? text : text.substr(at + 1);
}

// In the child's file: numbers, value and failure, then the identities.
void tell(int fd, const Outcome& outcome) {
    std::string text = fmt::format("{} {}\n{}\n{}\n{}\n", outcome.executed, outcome.distinct.size(),
                                   outcome.value, outcome.skipped, outcome.failure.size());
    text += outcome.failure;
    const std::vector<std::uint64_t> ids(outcome.distinct.begin(), outcome.distinct.end());
    text.append(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof ids[0]);
    for (std::size_t at = 0; at < text.size();) {
        const ssize_t n = ::write(fd, text.data() + at, text.size() - at);
        if (n <= 0) ::_exit(1);
        at += static_cast<std::size_t>(n);
    }
}

Outcome told(const std::string& text) {
    Outcome outcome;
    std::istringstream in(text);
    std::size_t distinct = 0;
    std::size_t failure = 0;
    std::string line;
    in >> outcome.executed >> distinct;
    in.ignore();
    std::getline(in, outcome.value);
    std::getline(in, outcome.skipped);
    in >> failure;
    in.ignore();
    outcome.failure.resize(failure);
    in.read(outcome.failure.data(), static_cast<std::streamsize>(failure));
    std::vector<std::uint64_t> ids(distinct);
    in.read(reinterpret_cast<char*>(ids.data()),
            static_cast<std::streamsize>(distinct * sizeof(std::uint64_t)));
    outcome.distinct.insert(ids.begin(), ids.end());
    if (!in) outcome.failure = "the row's process said nothing that can be read";
    return outcome;
}

std::string ending(int status) {
    return WIFEXITED(status) ? fmt::format("exit status {}", WEXITSTATUS(status))
                             : fmt::format("signal {}", WTERMSIG(status));
}

Outcome said(const std::string& output, const std::string& errors, int status) {
    Outcome outcome;
    std::istringstream in(last_lines(output, 1));
    const bool readable(in >> outcome.executed >> outcome.counted_distinct >> outcome.value);
    if (WIFEXITED(status) && WEXITSTATUS(status) == status_of_skip)
        outcome.skipped = last_lines(errors, 1);
    else if (status != 0)
        outcome.failure = fmt::format("{}: {}", ending(status), last_lines(errors, 20));
    else if (!readable)
        outcome.failure = "its last line is not `executed distinct value`: " + output;
    return outcome;
}

RowProgram::Share share_of(const std::string& text) {
    RowProgram::Share share;
    std::istringstream(text) >> share.seconds >> share.minimum;
    return share;
}

void run_program(const RowProgram& program, std::uint64_t seconds, std::uint64_t seed) {
    const std::string budget = std::to_string(seconds);
    const std::string number = std::to_string(seed);
    const fs::path bin = fs::read_symlink("/proc/self/exe").parent_path();
    ::setenv("THINVOL_BIN", bin.c_str(), 1);
    ::execl(program.path.c_str(), program.id.c_str(), "--budget", budget.c_str(), "--seed",
            number.c_str(), nullptr);
    fmt::print(stderr, "{}: {}\n", program.path, std::strerror(errno));
    ::_exit(1);
}

}  // namespace

std::vector<RowProgram> row_programs(const fs::path& folder) {
    std::vector<RowProgram> programs;
    for (const auto& entry : fs::directory_iterator(folder)) {
        RowProgram program;
        program.path = entry.path();
        std::ifstream in(entry.path());
        std::string line;
        for (int n = 0; n < 20 && std::getline(in, line); ++n) {
            const auto after = [&](const char* word) {
                return line.starts_with(word) ? line.substr(std::strlen(word)) : std::string();
            };
            if (const std::string row = after("# Row: "); !row.empty()) {
                program.id = row.substr(0, row.find(' '));
                program.what = row.substr(std::min(row.size(), program.id.size() + 1));
            }
            if (const std::string quick = after("# Quick: "); !quick.empty())
                program.quick = share_of(quick);
            if (const std::string ci = after("# CI: "); !ci.empty()) program.ci = share_of(ci);
            if (const std::string target = after("# Target: "); !target.empty())
                program.target = target;
        }
        if (!program.id.empty()) programs.push_back(std::move(program));
    }
    return programs;
}

RowProcess RowProcess::of(const ProofRow& row, const Budget& budget) {
    RowProcess process;
    process.output_ = memory_file("outcome");
    process.errors_ = memory_file("errors");
    void* const shared = ::mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(shared != MAP_FAILED);
    process.at_ = static_cast<std::uint64_t*>(shared);
    process.pid_ = ::fork();
    ASSERT(process.pid_ >= 0);
    if (process.pid_ > 0) return process;
    ::dup2(process.errors_.get(), STDERR_FILENO);
    case_at_work = process.at_;
    tell(process.output_.get(), row.run(budget));
    std::exit(0);
}

RowProcess RowProcess::of(const RowProgram& program, std::uint64_t seconds, std::uint64_t seed) {
    RowProcess process;
    process.program_ = true;
    process.output_ = memory_file("output");
    process.errors_ = memory_file("errors");
    process.pid_ = ::fork();
    ASSERT(process.pid_ >= 0);
    if (process.pid_ > 0) return process;
    ::dup2(process.output_.get(), STDOUT_FILENO);
    ::dup2(process.errors_.get(), STDERR_FILENO);
    run_program(program, seconds, seed);
    return process;
}

Outcome RowProcess::outcome(int status) const {
    const std::string errors = contents(errors_);
    if (program_) return said(contents(output_), errors, status);
    if (status == 0) return told(contents(output_));
    Outcome outcome;
    outcome.failure =
        fmt::format("--replay {}: {}: {}", *at_, ending(status), last_lines(errors, 20));
    return outcome;
}

}  // namespace thinvol
