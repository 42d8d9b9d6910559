#include "commands/interruption.h"

#include <atomic>

namespace thinvol {
namespace {

std::atomic<bool> signal_came{false};
static_assert(std::atomic<bool>::is_always_lock_free);

}  // namespace

Interruption::Interruption() {
    signal_came = false;
    struct sigaction action{};
    action.sa_handler = [](int) { signal_came = true; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    for (std::size_t i = 0; i < signals.size(); ++i) ::sigaction(signals[i], &action, &before_[i]);
    struct sigaction nothing{};
    nothing.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &nothing, &pipe_before_);
}

Interruption::~Interruption() {
    for (std::size_t i = 0; i < signals.size(); ++i) ::sigaction(signals[i], &before_[i], nullptr);
    ::sigaction(SIGPIPE, &pipe_before_, nullptr);
}

bool Interruption::came() { return signal_came; }

}  // namespace thinvol
