// thinvol-prove: the command line of the scoreboard.
#include <fmt/format.h>
#include <malloc.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "tests/prove/scoreboard.h"
#include "tests/prove/workloads.h"
#include "tests/support/judges.h"

namespace thinvol {
namespace {

constexpr const char* usage =
    "thinvol-prove [--quick | --ci | --soak HOURS] [--row ID]... [--seed N] [--times N]\n"
    "              [--replay SEED --row ID] [--allow-skip ID]... [--jobs N] [--json FILE]\n"
    "thinvol-prove --images FOLDER --seed N --times COUNT\n";

bool parse(int argc, char** argv, ProofOptions& options) {
    options.jobs = std::max(1U, std::thread::hardware_concurrency());
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const auto flag = [&](const char* name, ProofLane lane) {
            if (word != name) return false;
            options.lane = lane;
            return true;
        };
        if (flag("--quick", ProofLane::quick) || flag("--ci", ProofLane::ci)) continue;
        if (i + 1 >= argc) return false;
        const std::string value = argv[++i];
        const auto number = [&](auto& into) {
            const auto end = std::from_chars(value.data(), value.data() + value.size(), into);
            return end.ec == std::errc() && end.ptr == value.data() + value.size();
        };
        bool ok = true;
        if (word == "--row") options.only.insert(value);
        else if (word == "--allow-skip") options.may_skip.insert(value);
        else if (word == "--json") options.json = value;
        else if (word == "--images") options.images = value;
        else if (word == "--seed") ok = number(options.seed);
        else if (word == "--times") ok = number(options.times);
        else if (word == "--jobs") ok = number(options.jobs) && options.jobs > 0;
        else if (word == "--replay") ok = options.replay = number(options.seed);
        else if (flag("--soak", ProofLane::soak)) ok = number(options.hours);
        else ok = false;
        if (!ok) return false;
    }
    return !options.replay || !options.only.empty();
}

// For the judges of S29.
int write_images(const ProofOptions& options) {
    for (std::uint64_t seed = options.seed; seed < options.seed + options.times; ++seed)
        write_file(fmt::format("{}/{}", options.images, seed), lived_pool(seed)[0]);
    return 0;
}

}  // namespace
}  // namespace thinvol

int main(int argc, char** argv) {
    // States come and go by the thousand: their memory is kept.
    ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
    ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
    thinvol::ProofOptions options;
    if (!thinvol::parse(argc, argv, options)) {
        fmt::print(stderr, "{}", thinvol::usage);
        return 3;
    }
    if (!options.images.empty()) return thinvol::write_images(options);
    return thinvol::Scoreboard(std::move(options)).run() ? 0 : 1;
}
