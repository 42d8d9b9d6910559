#include "libvm/nbd_negotiation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "libvm/nbd_server.h"

namespace thinvol {
namespace {

using nbd::load_be;
using nbd::Option;
using nbd::store_be;

constexpr std::uint32_t option_data_max = 64 << 10;  // of options that are understood
constexpr std::uint32_t skipped_option_max = 4 << 20;
constexpr std::string_view allocation_context = "base:allocation";
constexpr std::string_view sharing_context = "x-thinvol:sharing";

std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A string behind its 32-bit length, taken from the front. Nothing: it does not fit.
std::optional<std::string_view> take_string(std::span<const std::byte>& data) {
    if (data.size() < 4) return std::nullopt;
    const auto length = load_be<std::uint32_t>(data.data());
    if (length > data.size() - 4) return std::nullopt;
    const std::string_view text = text_of(data.subspan(4, length));
    data = data.subspan(4 + length);
    return text;
}

// What a query asks for: the context itself, or, in a list, all of its namespace.
bool matches(std::string_view query, std::string_view context, bool listing) {
    return query == context || (listing && query == context.substr(0, context.find(':') + 1));
}

}  // namespace

NbdNegotiation::NbdNegotiation(NbdServer& server, const NbdPeer& peer)
    : server_(&server), peer_(&peer), output_(18) {
    std::byte* p = store_be(output_.data(), nbd::magic_greeting);
    p = store_be(p, nbd::magic_option);
    store_be<std::uint16_t>(p, nbd::flag_fixed_newstyle | nbd::flag_no_zeroes);
}

NbdNegotiation NbdNegotiation::secured(const NbdNegotiation& before) {
    NbdNegotiation after(*before.server_, *before.peer_);
    after.output_.clear();
    after.secure_ = true;
    after.greeted_ = true;
    after.fixed_newstyle_ = true;
    after.no_zeroes_ = before.no_zeroes_;
    after.options_ = before.options_;
    return after;
}

std::size_t NbdNegotiation::take(std::span<const std::byte> input) {
    if (skip_ > 0) {
        const std::size_t n = std::min<std::uint64_t>(skip_, input.size());
        skip_ -= n;
        if (skip_ == 0) reply(skipped_answer_);
        return n;
    }
    if (!greeted_) return client_flags(input);
    if (input.size() < nbd::option_bytes) return 0;
    const auto magic = load_be<std::uint64_t>(input.data());
    const auto length = load_be<std::uint32_t>(input.data() + 12);
    option_ = static_cast<Option>(load_be<std::uint32_t>(input.data() + 8));
    const bool old = option_ == Option::export_name;
    const bool readable = length <= option_data_max;
    // The old form knows no other option, and no errors.
    if (magic != nbd::magic_option || length > skipped_option_max || (!fixed_newstyle_ && !old) ||
        (old && !readable)) {
        state_ = State::ended;
        return nbd::option_bytes;
    }
    const bool refused = !nbd::is_known(option_) || !readable;
    if (!refused && input.size() < nbd::option_bytes + length) return 0;
    if (++options_ > server_->limits().options) {
        state_ = State::ended;
        return nbd::option_bytes;
    }
    if (refused_unread(length)) return nbd::option_bytes;
    option(input.subspan(nbd::option_bytes, length));
    return nbd::option_bytes + length;
}

// Answers an option whose data do not matter. False: it is to be looked at.
bool NbdNegotiation::refused_unread(std::uint32_t length) {
    const bool may_speak = secure_ || !server_->tls_required();
    if (option_ == Option::abort && length <= option_data_max) return false;
    if (server_->shutting_down()) return refuse(nbd::Reply::shutdown, length), true;
    if (!may_speak && option_ == Option::export_name) return false;
    if (!may_speak && option_ != Option::start_tls)
        return refuse(nbd::Reply::tls_required, length), true;
    if (!nbd::is_known(option_)) return refuse(nbd::Reply::unsupported, length), true;
    if (length > option_data_max) return refuse(nbd::Reply::too_big, length), true;
    return false;
}

void NbdNegotiation::refuse(nbd::Reply type, std::uint64_t data_length) {
    skipped_answer_ = type;
    skip_ = data_length;
    if (skip_ == 0) reply(type);
}

std::size_t NbdNegotiation::client_flags(Data input) {
    if (input.size() < 4) return 0;
    const auto flags = load_be<std::uint32_t>(input.data());
    greeted_ = true;
    no_zeroes_ = (flags & nbd::flag_no_zeroes) != 0;
    fixed_newstyle_ = (flags & nbd::flag_fixed_newstyle) != 0;
    if ((flags & ~std::uint32_t{nbd::flag_fixed_newstyle | nbd::flag_no_zeroes}) != 0)
        state_ = State::ended;
    return 4;
}

void NbdNegotiation::option(Data data) {
    switch (option_) {
        case Option::export_name: return export_name(data);
        case Option::abort:
            reply(nbd::Reply::ack);
            state_ = State::ended;
            return;
        case Option::list: return list(data);
        case Option::start_tls: return start_tls(data);
        case Option::info:
        case Option::go: return info(data);
        case Option::structured_reply: return agree_on(NbdReplies::structured, data);
        case Option::extended_headers: return agree_on(NbdReplies::extended, data);
        case Option::list_meta_context:
        case Option::set_meta_context: return meta_context(data);
    }
}

void NbdNegotiation::reply(nbd::Reply type, Data data) {
    const std::size_t before = output_.size();
    output_.resize(before + 20 + data.size());
    std::byte* p = store_be(output_.data() + before, nbd::magic_option_reply);
    p = store_be(p, static_cast<std::uint32_t>(option_));
    p = store_be(p, static_cast<std::uint32_t>(type));
    p = store_be(p, static_cast<std::uint32_t>(data.size()));
    std::copy(data.begin(), data.end(), p);
}

void NbdNegotiation::reply(nbd::Reply type, std::string_view text) {
    reply(type, std::as_bytes(std::span(text)));
}

NbdRight NbdNegotiation::right_to(const NbdExport& exported) const {
    return exported.access.right_of(*peer_);
}

// An empty name means the default: where there is one export, that.
NbdExport* NbdNegotiation::find(std::string_view name) const {
    NbdExport* found = nullptr;
    for (const auto& [id, exported] : server_->exports()) {
        if ((!name.empty() && exported->name != name) || right_to(*exported) == NbdRight::none)
            continue;
        if (found != nullptr) return nullptr;
        found = exported.get();
    }
    return found;
}

void NbdNegotiation::list(Data data) {
    if (!data.empty()) return reply(nbd::Reply::invalid);
    for (const auto& [id, exported] : server_->exports()) {
        if (right_to(*exported) == NbdRight::none) continue;
        std::vector<std::byte> entry(4 + exported->name.size());
        std::byte* p = store_be(entry.data(), static_cast<std::uint32_t>(exported->name.size()));
        std::memcpy(p, exported->name.data(), exported->name.size());
        reply(nbd::Reply::server, entry);
    }
    reply(nbd::Reply::ack);
}

void NbdNegotiation::start_tls(Data data) {
    if (!data.empty() || secure_) return reply(nbd::Reply::invalid);
    if (!server_->tls_offered()) return reply(nbd::Reply::policy, "this server is without TLS");
    reply(nbd::Reply::ack);
    state_ = State::securing;
}

void NbdNegotiation::agree_on(NbdReplies form, Data data) {
    if (!data.empty()) return reply(nbd::Reply::invalid);
    if (form == NbdReplies::structured && agreement_.replies == NbdReplies::extended)
        return reply(nbd::Reply::extended_headers_required);
    agreement_.replies = form;
    reply(nbd::Reply::ack);
}

std::uint16_t NbdNegotiation::transmission_flags(const NbdExport& exported) const {
    std::uint16_t flags = nbd::has_flags | nbd::send_flush | nbd::send_fua | nbd::send_trim |
                          nbd::send_write_zeroes | nbd::can_multi_conn | nbd::send_cache |
                          nbd::send_fast_zero;
    if (exported.read_only || right_to(exported) != NbdRight::write) flags |= nbd::read_only;
    if (agreement_.replies != NbdReplies::simple) flags |= nbd::send_df;
    if (agreement_.replies == NbdReplies::extended && agreement_.contexts.any() &&
        find(contexts_of_) == &exported)
        flags |= nbd::block_status_payload;
    return flags;
}

void NbdNegotiation::info(Data data) {
    Data rest = data;
    const auto name = take_string(rest);
    if (!name || rest.size() < 2) return reply(nbd::Reply::invalid);
    const auto infos = load_be<std::uint16_t>(rest.data());
    if (rest.size() != 2 + 2UL * infos) return reply(nbd::Reply::invalid);
    NbdExport* exported = find(*name);
    if (exported == nullptr) {
        return reply(nbd::Reply::unknown, fmt::format("no export \"{}\"", name->substr(0, 256)));
    }
    send_infos(*exported, rest.subspan(2));
    reply(nbd::Reply::ack);
    if (option_ == Option::go) agree(*exported);
}

void NbdNegotiation::send_infos(const NbdExport& exported, Data asked) {
    std::array<std::byte, 12> basic{};
    std::byte* p = store_be(basic.data(), static_cast<std::uint16_t>(nbd::Info::export_));
    p = store_be(p, exported.size.load());
    store_be(p, transmission_flags(exported));
    reply(nbd::Reply::info, basic);

    std::array<std::byte, 14> sizes{};
    p = store_be(sizes.data(), static_cast<std::uint16_t>(nbd::Info::block_size));
    p = store_be(p, std::uint32_t{1});
    p = store_be(p, server_->preferred_block());
    store_be(p, server_->limits().payload);
    reply(nbd::Reply::info, sizes);

    const auto wants = [&](nbd::Info wanted) {
        for (std::size_t i = 0; i < asked.size(); i += 2) {
            if (load_be<std::uint16_t>(asked.data() + i) == static_cast<std::uint16_t>(wanted))
                return true;
        }
        return false;
    };
    const auto send_text = [&](nbd::Info type, std::string_view text) {
        std::vector<std::byte> bytes(2 + text.size());
        std::memcpy(store_be(bytes.data(), static_cast<std::uint16_t>(type)), text.data(),
                    text.size());
        reply(nbd::Reply::info, bytes);
    };
    if (wants(nbd::Info::name)) send_text(nbd::Info::name, exported.name);
    if (wants(nbd::Info::description)) {
        send_text(nbd::Info::description,
                  fmt::format("thin volume {}, {} bytes", exported.name, Bytes(exported.size)));
    }
}

// The old form knows no error: where it is refused, the connection ends.
void NbdNegotiation::export_name(Data data) {
    state_ = State::ended;
    if (!secure_ && server_->tls_required()) return;
    if (agreement_.replies == NbdReplies::extended) return;
    NbdExport* exported = find(text_of(data));
    if (exported == nullptr) return;
    const std::size_t before = output_.size();
    output_.resize(before + (no_zeroes_ ? 10 : 134));
    std::byte* p = store_be(output_.data() + before, exported->size.load());
    store_be(p, transmission_flags(*exported));
    agree(*exported);
}

// Contexts selected for another export are not for this one.
void NbdNegotiation::agree(NbdExport& exported) {
    if (find(contexts_of_) != &exported) agreement_.contexts = {};
    agreement_.exported = &exported;
    agreement_.may_write = right_to(exported) == NbdRight::write;
    state_ = State::agreed;
}

void NbdNegotiation::meta_context(Data data) {
    const bool listing = option_ == Option::list_meta_context;
    if (!listing) agreement_.contexts = {};
    Data rest = data;
    const auto name = take_string(rest);
    if (!name || rest.size() < 4 || agreement_.replies == NbdReplies::simple)
        return reply(nbd::Reply::invalid);
    auto queries = load_be<std::uint32_t>(rest.data());
    rest = rest.subspan(4);
    bool allocation = listing && queries == 0;
    bool sharing = allocation;
    for (; queries > 0; --queries) {
        const auto query = take_string(rest);
        if (!query) return reply(nbd::Reply::invalid);
        allocation = allocation || matches(*query, allocation_context, listing);
        sharing = sharing || matches(*query, sharing_context, listing);
    }
    if (!rest.empty()) return reply(nbd::Reply::invalid);
    if (find(*name) == nullptr)
        return reply(nbd::Reply::unknown, fmt::format("no export \"{}\"", name->substr(0, 256)));
    const auto tell = [&](std::uint32_t id, std::string_view context) {
        std::vector<std::byte> bytes(4 + context.size());
        std::memcpy(store_be(bytes.data(), listing ? 0 : id), context.data(), context.size());
        reply(nbd::Reply::meta_context, bytes);
    };
    if (allocation) tell(allocation_id, allocation_context);
    if (sharing) tell(sharing_id, sharing_context);
    reply(nbd::Reply::ack);
    if (listing) return;
    agreement_.contexts = {allocation, sharing};
    contexts_of_ = *name;
}

}  // namespace thinvol
