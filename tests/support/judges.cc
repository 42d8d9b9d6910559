#include "tests/support/judges.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>

namespace thinvol {

TemporaryDirectory::TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "thinvol-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

Verdict run_judge(const std::string& command, const TimeLimit* limit) {
    using Clock = std::chrono::steady_clock;
    Verdict verdict;
    FILE* pipe = ::popen(("PATH=$PATH:/usr/sbin:/sbin; { " + command + "; } 2>&1").c_str(), "r");
    if (pipe == nullptr) return verdict;
    const auto end = Clock::now() + (limit == nullptr ? std::chrono::seconds() : limit->time);
    std::array<char, 4096> buffer;
    for (bool late = false;;) {
        if (limit != nullptr && !late) {
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
            pollfd waiting{::fileno(pipe), POLLIN, 0};
            if (::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left, 0))) == 0) {
                late = true;
                verdict.output += fmt::format("\nno end after {} seconds: {}\n{}",
                                              limit->time.count(), command, limit->end());
            }
        }
        const ssize_t n = ::read(::fileno(pipe), buffer.data(), buffer.size());
        if (n <= 0) break;
        verdict.output.append(buffer.data(), static_cast<std::size_t>(n));
    }
    const int status = ::pclose(pipe);
    verdict.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return verdict;
}

void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
    if (!out) throw std::runtime_error("cannot write " + path.string());
}

std::string thin_check(std::span<const std::byte> image) {
    const TemporaryDirectory dir;
    write_file(dir.path() / "md", image);
    const Verdict v = run_judge("thin_check " + (dir.path() / "md").string());
    return v.status == 0 ? "" : "thin_check exit " + std::to_string(v.status) + ": " + v.output;
}

std::string thin_dump(std::span<const std::byte> image) {
    const TemporaryDirectory dir;
    write_file(dir.path() / "md", image);
    const Verdict v =
        run_judge(THINVOL_TEST_SUPPORT "/flat_dump.py " + (dir.path() / "md").string());
    return v.status == 0 ? v.output
                         : "thin_dump exit " + std::to_string(v.status) + ": " + v.output;
}

}  // namespace thinvol
