#include "commands/progress.h"

#include <unistd.h>

#include <cstdio>

namespace thinvol {
namespace {

constexpr std::int64_t pause_ms = 200;
constexpr std::int64_t patience_ms = 1000;
constexpr std::uint64_t steps_per_look = 64;  // a clock is not for every step

}  // namespace

Progress::Progress(const Invocation& call)
    : wanted_(::isatty(STDERR_FILENO) == 1 && !call.has("quiet")) {}

Progress::~Progress() { end(); }

void Progress::end() {
    if (!ended_.exchange(true) && shown_at_ != 0) fmt::print(stderr, "\r{:10}\r", "");
}

void Progress::add(std::uint64_t steps, std::uint64_t all) {
    if (!wanted_ || ended_) return;
    const std::uint64_t before = done_.fetch_add(steps, std::memory_order_relaxed);
    if (before + steps >= all) return end();
    if (before / steps_per_look == (before + steps) / steps_per_look) return;
    using std::chrono::milliseconds;
    const auto now = std::chrono::duration_cast<milliseconds>(Clock::now() - began_).count();
    std::int64_t shown = shown_at_.load(std::memory_order_relaxed);
    if (now < patience_ms || now - shown < pause_ms) return;
    if (!shown_at_.compare_exchange_strong(shown, now)) return;  // another thread does
    fmt::print(stderr, "\r  {:3} %", 100 * (before + steps) / all);
    std::fflush(stderr);
}

}  // namespace thinvol
