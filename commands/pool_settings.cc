#include "commands/pool_settings.h"

#include "libvm/sizes.h"

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
    if (call.has("nospacetimeout"))  // a number: its kind of value was checked
        pool.no_space_timeout =
            static_cast<std::int64_t>(*parse_number(call.value("nospacetimeout")));
}

}  // namespace thinvol
