#include "tests/support/judges.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

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

Verdict run_judge(const std::string& command) {
    Verdict verdict;
    FILE* pipe = ::popen(("PATH=$PATH:/usr/sbin:/sbin; { " + command + "; } 2>&1").c_str(), "r");
    if (pipe == nullptr) return verdict;
    std::array<char, 4096> buffer;
    for (std::size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
        verdict.output.append(buffer.data(), n);
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
