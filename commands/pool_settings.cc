#include "commands/pool_settings.h"

#include <charconv>

namespace thinvol {

bool has_pool_settings(const Invocation& call) {
    return call.has("zero") || call.has("discards") || call.has("errorwhenfull") ||
           call.has("nospacetimeout");
}

void apply_pool_settings(const Invocation& call, PoolRow& pool) {
    if (call.has("zero")) pool.zero = call.value("zero") == "y";
    if (call.has("errorwhenfull")) pool.error_when_full = call.value("errorwhenfull") == "y";
    if (call.has("discards")) {
        const std::string& word = call.value("discards");
        pool.discards = word == "passdown"     ? Discards::passdown
                        : word == "nopassdown" ? Discards::nopassdown
                                               : Discards::ignore;
    }
    if (call.has("nospacetimeout")) {
        const std::string& text = call.value("nospacetimeout");
        std::from_chars(text.data(), text.data() + text.size(), pool.no_space_timeout);
    }
}

}  // namespace thinvol
