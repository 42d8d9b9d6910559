#include "libvm/pool_message.h"

#include <fmt/format.h>

#include <strings.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace thinvol {
namespace {

bool is(std::string_view word, const char* name) {
    return word.size() == std::strlen(name) && ::strncasecmp(word.data(), name, word.size()) == 0;
}

Result<std::uint64_t> number(std::string_view text) {
    std::uint64_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error == std::errc() && end == text.data() + text.size()) return n;
    return Error(Errc::invalid_argument, fmt::format("\"{}\" is no number", text));
}

}  // namespace

Result<ThinId> parse_thin_id(std::string_view text) {
    const std::uint64_t n = TRY(number(text));
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
        message.operations = {CreateThin{TRY(parse_thin_id(words[1]))}};
    } else if (has("create_snap", 2)) {
        const ThinId id = TRY(parse_thin_id(words[1]));
        message.operations = {CreateSnapshot{id, TRY(parse_thin_id(words[2]))}};
    } else if (has("delete", 1)) {
        message.operations = {RemoveThin{TRY(parse_thin_id(words[1]))}};
    } else if (has("set_transaction_id", 2)) {
        const TransactionId from{TRY(number(words[1]))};
        message.transaction_id.emplace(from, TransactionId{TRY(number(words[2]))});
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
