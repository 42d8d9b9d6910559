#include "commands/pool_settings.h"

#include "libvm/sizes.h"

namespace thinvol {
namespace {

Discards discards_of(std::string_view word) {
    return word == "passdown"     ? Discards::passdown
           : word == "nopassdown" ? Discards::nopassdown
                                  : Discards::ignore;
}

}  // namespace

void apply_defaults(const Config& config, PoolRow& pool) {
    pool.zero = config.flag("allocation.zero");
    pool.discards = discards_of(config.word("allocation.discards"));
    pool.error_when_full = config.flag("allocation.error_when_full");
    pool.no_space_timeout = config.number("allocation.no_space_timeout");
}

bool has_pool_settings(const Invocation& call) {
    return call.has("zero") || call.has("discards") || call.has("errorwhenfull") ||
           call.has("nospacetimeout");
}

void apply_pool_settings(const Invocation& call, PoolRow& pool) {
    if (call.has("zero")) pool.zero = call.value("zero") == "y";
    if (call.has("errorwhenfull")) pool.error_when_full = call.value("errorwhenfull") == "y";
    if (call.has("discards")) pool.discards = discards_of(call.value("discards"));
    if (call.has("nospacetimeout"))  // a number: its kind of value was checked
        pool.no_space_timeout =
            static_cast<std::int64_t>(*parse_number(call.value("nospacetimeout")));
}

}  // namespace thinvol
