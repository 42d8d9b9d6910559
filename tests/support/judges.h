// judges: programs that we did not write, asked about an image.
//
// Units       none
// Invariants  a judge that is not installed fails the test: a verdict is never assumed
// Errors      the judge's own words
// Threads     one
// Source      thin-provisioning-tools thin_check(8), thin_dump(8), thin_restore(8)
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

namespace thinvol {

// A directory that is removed with everything in it.
class TemporaryDirectory {
public:
    TemporaryDirectory();
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    std::filesystem::path path() const { return path_; }

private:
    std::filesystem::path path_;
};

struct Verdict {
    int status = -1;
    std::string output;
};
// How long something may take, and who ends it then: all of it, so that no pipe stays open. What
// it says is part of the verdict.
struct TimeLimit {
    std::chrono::seconds time{};
    std::function<std::string()> end;
};
// Runs a command line in a shell; stdout and stderr together.
Verdict run_judge(const std::string& command, const TimeLimit* limit = nullptr);

// Empty if thin_check accepts the metadata image, else what it says.
std::string thin_check(std::span<const std::byte> image);
std::string thin_dump(std::span<const std::byte> image);

void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace thinvol
