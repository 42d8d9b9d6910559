// thinvol-prove: runs the rows and prints `id what executed distinct minimum PASS|FAIL`.
#include <fmt/format.h>
#include <malloc.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/prove/rows.h"

namespace thinvol {

std::span<const ProofRow> proof_rows() {
    static constexpr ProofRow rows[] = {
        {"S1", "power cut at any device write", 3000, power_cuts_anywhere},
        {"S4", "data and metadata devices lose power apart", 1200, power_cuts_across_devices},
        {"S5", "flushed and FUA writes survive", 1200, promised_writes_survive},
        {"S8", "no stale and no foreign data", 1200, nothing_stale_is_shown},
        {"S13", "a failed flush is never forgiven", 200, failed_flushes_stay_failed},
        {"S33", "power cut at any step of any command", 800, commands_are_whole},
        {"S33c", "a command killed at any system call", 150, commands_survive_kills, 40},
        {"S33s", "a server killed at any system call", 100, servers_survive_kills, 30},
        {"S35", "SIGINT and SIGTERM at any system call", 60, commands_survive_signals, 20},
        {"S46", "snapshots under load are one instant", 1600, snapshots_are_instants},
    };
    return rows;
}

}  // namespace thinvol

int main(int argc, char** argv) {
    using namespace thinvol;
    // States come and go by the thousand: their memory is kept.
    ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
    ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
    std::string only;
    std::uint64_t seed = 1;
    std::uint64_t times = 1;
    bool quick = false;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word == "--row" && i + 1 < argc) only = argv[++i];
        else if (word == "--seed" && i + 1 < argc) seed = std::strtoull(argv[++i], nullptr, 10);
        else if (word == "--times" && i + 1 < argc) times = std::strtoull(argv[++i], nullptr, 10);
        else if (word == "--quick") quick = true;
        else {
            fmt::print(stderr, "thinvol-prove [--quick] [--times N] [--row ID] [--seed N]\n");
            return 3;
        }
    }
    bool passed = true;
    bool any = false;
    for (const ProofRow& row : proof_rows()) {
        if (!only.empty() && only != row.id) continue;
        any = true;
        const std::uint64_t minimum =
            times * (quick && row.quick_minimum > 0 ? row.quick_minimum : row.minimum);
        const Outcome outcome = row.run({minimum, seed});
        const bool ok = outcome.failure.empty() && outcome.executed >= minimum;
        fmt::print("{:<4} {:<44} {:>8} {:>8} {:>8}  {}\n", row.id, row.what, outcome.executed,
                   outcome.distinct.size(), minimum, ok ? "PASS" : "FAIL");
        if (!outcome.failure.empty()) fmt::print("     {}\n", outcome.failure);
        std::fflush(stdout);
        passed = passed && ok;
    }
    return passed && any ? 0 : 1;
}
