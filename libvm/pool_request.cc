#include "libvm/pool_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace thinvol {

template <class U>
void to_json(nlohmann::json& j, const Count<U>& c) {
    j = c.n;
}
template <class U>
void from_json(const nlohmann::json& j, Count<U>& c) {
    c.n = j.get<std::uint64_t>();
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MakeVolumesRequest::One, name, size, origin_id, read_only,
                                   skip_activation, tags, external_origin)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MakeVolumesRequest, volumes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RemoveVolumesRequest, lv_ids, deactivate)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ResizeVolumeRequest, lv_id, size)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ExtendPoolRequest, data, metadata, pv_ids, data_before,
                                   metadata_before)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MergeRequest, lv_id, keep)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ActivateRequest, lv_ids, how, keep)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(DeactivateRequest, lv_ids)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ReadMetadataRequest, first, count)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MovePieceRequest, job_id)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(OpenVolumeRequest, lv_id, writing)
constexpr std::array<std::string_view, 6> io_words{"read",    "write", "write_zeroes",
                                                   "discard", "flush", "status"};  // as IoKind
void to_json(nlohmann::json& j, const IoKind& kind) {
    j = io_words[static_cast<std::size_t>(kind)];
}
void from_json(const nlohmann::json& j, IoKind& kind) {
    const auto word = j.get<std::string>();
    const auto* const it = std::find(io_words.begin(), io_words.end(), word);
    if (it == io_words.end())
        throw nlohmann::json::other_error::create(501, "no such I/O: " + word, &j);
    kind = static_cast<IoKind>(it - io_words.begin());
}
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(VolumeIoRequest, kind, offset, length)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WaitEventsRequest, after, wait_ms)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LoggedEvent, number, time, kind, mode, percent, text)
// A server that was started before these were counted does not tell them.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(IoCount, ios, bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(VolumeIo, read, write, flush, trim, zero)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(IoRates, read_ios, read_bytes, write_ios,
                                                write_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ActiveVolume, lv_id, clients, mapped_blocks, uri,
                                                io, rates, device)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PoolAnswer, warnings, names, mode, trouble, needs_check,
                                   transaction_id, data_blocks, data_used, metadata_blocks,
                                   metadata_used, flushes, commits, pid, privileges,
                                   writes_wait_for_space, active, pause_ms, events, bytes_following)
void to_json(nlohmann::json& j, const StatusRequest&) { j = nlohmann::json::object(); }
void from_json(const nlohmann::json&, StatusRequest&) {}
void to_json(nlohmann::json& j, const RefreshRequest&) { j = nlohmann::json::object(); }
void from_json(const nlohmann::json&, RefreshRequest&) {}
void to_json(nlohmann::json& j, const RestartRequest&) { j = nlohmann::json::object(); }
void from_json(const nlohmann::json&, RestartRequest&) {}
void to_json(nlohmann::json& j, const PinRequest&) { j = nlohmann::json::object(); }
void from_json(const nlohmann::json&, PinRequest&) {}

namespace {

using Json = nlohmann::json;
using What = decltype(PoolRequest::what);

// In the order of the variant.
constexpr std::array<std::string_view, std::variant_size_v<What>> words{
    "make_volumes", "remove_volumes", "resize_volume", "extend_pool", "merge", "activate",
    "deactivate",   "status",         "refresh",       "wait_events", "pin",   "read_metadata",
    "move_piece",   "open_volume",    "volume_io",     "restart"};

template <std::size_t i = 0>
What parse_what(std::string_view word, const Json& arguments) {
    if constexpr (i < words.size()) {
        if (word == words[i]) return arguments.get<std::variant_alternative_t<i, What>>();
        return parse_what<i + 1>(word, arguments);
    }
    throw Json::other_error::create(501, fmt::format("unknown request \"{}\"", word), &arguments);
}

Error not_understood(const char* what, const std::exception& e) {
    return {Errc::invalid_argument, fmt::format("{} not understood: {}", what, e.what())};
}

}  // namespace

std::string to_json(const LoggedEvent& event) {
    Json json;
    to_json(json, event);
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_json(const PoolRequest& request) {
    Json arguments;
    std::visit([&](const auto& what) { to_json(arguments, what); }, request.what);
    return Json{{"id", request.id}, {"do", words[request.what.index()]}, {"with", arguments}}
        .dump();
}

Result<PoolRequest> request_from_json(std::string_view text) {
    try {
        bool counts = true;  // get() would convert other numbers in silence
        const Json j = Json::parse(text, [&](int, Json::parse_event_t, const Json& v) {
            counts = counts && (!v.is_number() || v.is_number_unsigned());
            return true;
        });
        if (!counts)
            return Error(Errc::invalid_argument, "pool request: a number in it is no count");
        return PoolRequest{j.at("id").get<std::string>(),
                           parse_what(j.at("do").get<std::string>(), j.at("with"))};
    } catch (const Json::exception& e) {
        return not_understood("request", e);
    }
}

std::string to_json(const Result<PoolAnswer>& answer) {
    if (answer)
        return Json{{"answer", *answer}}.dump(-1, ' ', false, Json::error_handler_t::replace);
    return Json{
        {"error", {{"code", static_cast<int>(answer.error().code)}, {"text", answer.error().text}}}}
        .dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<PoolAnswer> answer_from_json(std::string_view text) {
    try {
        Json j = Json::parse(text);
        if (!j.contains("error")) {
            Json& answer = j.at("answer");
            answer.emplace("privileges", "");  // a server that was started before tells nothing
            return answer.get<PoolAnswer>();
        }
        const int code = j.at("error").at("code").get<int>();
        const bool known =
            code >= static_cast<int>(Errc::io_error) && code <= static_cast<int>(Errc::read_only);
        return Error(known ? static_cast<Errc>(code) : Errc::io_error,
                     j.at("error").at("text").get<std::string>());
    } catch (const Json::exception& e) {
        return not_understood("answer", e);
    }
}

}  // namespace thinvol
