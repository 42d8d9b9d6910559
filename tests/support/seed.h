// seed: the random numbers of a test run, so that a failure can be repeated.
//
// Units       none
// Invariants  THINVOL_TEST_SEED, where set, is the only seed; otherwise each test has a fixed list
//             of them and THINVOL_TEST_ROUNDS multiplies how many of it run
// Errors      none
// Threads     one
// Source      none
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>
#include <vector>

namespace thinvol {

inline std::vector<std::uint64_t> test_seeds(std::uint64_t count) {
    if (const char* one = std::getenv("THINVOL_TEST_SEED"))
        return {std::strtoull(one, nullptr, 10)};
    const char* rounds = std::getenv("THINVOL_TEST_ROUNDS");
    const std::uint64_t n = count * (rounds != nullptr ? std::strtoull(rounds, nullptr, 10) : 1);
    std::vector<std::uint64_t> seeds;
    for (std::uint64_t i = 1; i <= n; ++i) seeds.push_back(i);
    return seeds;
}

// mt19937_64 used raw: the library's distributions differ between implementations.
class Random {
public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    std::uint64_t below(std::uint64_t n) { return engine_() % n; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    std::uint64_t operator()() { return engine_(); }

private:
    std::mt19937_64 engine_;
};

}  // namespace thinvol
