#include "libvm/pool_message.h"

#include <fmt/format.h>

#include <strings.h>

#include <cerrno>
#include <cstring>

#include "engine/run_now.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

bool is(std::string_view word, const char* name) {
    return word.size() == std::strlen(name) && ::strncasecmp(word.data(), name, word.size()) == 0;
}

}  // namespace

Result<ThinId> parse_thin_id(std::string_view text) {
    const std::uint64_t n = TRY(parse_number(text));
    if (n <= ThinId::max) return ThinId::checked(n);
    return Error(Errc::invalid_argument,
                 fmt::format("thin id {} is above the highest, {}", n, ThinId::max));
}

Result<PoolMessage> parse_message(std::span<const std::string> words) {
    const auto has = [&](const char* name, std::size_t arguments) {
        return words.size() == 1 + arguments && is(words.front(), name);
    };
    PoolMessage message;
    if (has("create_thin", 1)) {
        const ThinId id = TRY(parse_thin_id(words[1]));
        message.operations = {CreateThin{id}};
    } else if (has("create_snap", 2)) {
        const ThinId id = TRY(parse_thin_id(words[1]));
        const ThinId origin = TRY(parse_thin_id(words[2]));
        message.operations = {CreateSnapshot{id, origin}};
    } else if (has("delete", 1)) {
        const ThinId id = TRY(parse_thin_id(words[1]));
        message.operations = {RemoveThin{id}};
    } else if (has("set_transaction_id", 2)) {
        const std::uint64_t from = TRY(parse_number(words[1]));
        const std::uint64_t to = TRY(parse_number(words[2]));
        message.transaction_id.emplace(TransactionId{from}, TransactionId{to});
    } else if (has("reserve_metadata_snap", 0)) {
        message.operations = {ReserveMetadataSnapshot{}};
    } else if (has("release_metadata_snap", 0)) {
        message.operations = {ReleaseMetadataSnapshot{}};
    } else {
        return Error(Errc::invalid_argument,
                     "no such message, or not its number of arguments: create_thin ID, create_snap "
                     "ID ORIGIN, delete ID, set_transaction_id CURRENT NEW, reserve_metadata_snap, "
                     "release_metadata_snap");
    }
    return message;
}

Result<> send_message(Pool& pool, const PoolMessage& message) {
    const TransactionId now = pool.status().transaction_id;
    const auto [from, to] = message.transaction_id.value_or(std::pair(now, now));
    return apply_now(pool, message.operations, from, to);
}

int kernel_errno(Errc code) {
    switch (code) {
        case Errc::not_found: return ENODATA;
        case Errc::read_only: return EOPNOTSUPP;
        default: return errno_of(code);
    }
}

}  // namespace thinvol
