// Goal: S38: whatever a client says before it transmits, it is answered in the protocol's form,
// sees
//       no export that it may not, and gets nowhere in the clear where TLS is required.
// Method: an input is a row of options, right or wrong, or raw bytes; they come in pieces. What is
//       answered is taken apart as a client would.
#include <filesystem>
#include <fstream>

#include "libvm/nbd_negotiation.h"
#include "tests/fuzz/nbd_world.h"

namespace thinvol {
namespace {

using State = NbdNegotiation::State;
using nbd::load_be;

constexpr std::size_t steps_max = 200;

// In the clear, with TLS to be had, with TLS required.
struct Servers {
    NbdWorld worlds[3];
    Servers() {
        const auto keys = std::filesystem::temp_directory_path() / "thinvol-fuzz.psk";
        std::ofstream(keys) << "fuzz:00112233445566778899aabbccddeeff\n";
        std::filesystem::permissions(
            keys, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
        for (const bool required : {false, true}) {
            TlsCredentials::Files files;
            files.keys = keys;
            worlds[required ? 2 : 1].server->offer_tls(must(TlsCredentials::load(files)), required);
        }
        std::filesystem::remove(keys);
    }
};

template <std::unsigned_integral T>
void append(std::vector<std::byte>& to, T number) {
    const std::size_t at = to.size();
    to.resize(at + sizeof number);
    nbd::store_be(to.data() + at, number);
}
void append(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}
void append_string(std::vector<std::byte>& to, std::string_view text) {
    append(to, static_cast<std::uint32_t>(text.size()));
    append(to, std::as_bytes(std::span(text)));
}

std::string_view name_of(FuzzInput& input) {
    const std::uint8_t choice = input.byte();
    constexpr std::string_view names[] = {"a", "b", NbdWorld::hidden, ""};
    return choice < 200 ? names[choice % 4] : input.text(choice - 200);
}

// The data of an option as it should be, made of the input's choices.
std::vector<std::byte> data_for(std::uint8_t option, FuzzInput& input) {
    std::vector<std::byte> data;
    const std::uint8_t count = input.byte() % 6;
    switch (static_cast<nbd::Option>(option)) {
        case nbd::Option::info:
        case nbd::Option::go:
            append_string(data, name_of(input));
            append(data, static_cast<std::uint16_t>(count));
            for (int i = 0; i < count; ++i) append(data, std::uint16_t{input.byte()});
            break;
        case nbd::Option::list_meta_context:
        case nbd::Option::set_meta_context:
            append_string(data, name_of(input));
            append(data, std::uint32_t{count});
            for (int i = 0; i < count; ++i) {
                constexpr std::string_view queries[] = {"base:allocation",
                                                        "base:", "x-thinvol:sharing", "x-thinvol:"};
                const std::uint8_t which = input.byte();
                append_string(data, which < 128 ? queries[which % 4] : input.text(which - 128U));
            }
            break;
        case nbd::Option::export_name:
            append(data, std::as_bytes(std::span(name_of(input))));
            break;
        default: append(data, input.bytes(input.byte() % 4 == 3 ? 5 : 0)); break;
    }
    return data;
}

// What a client sends next.
std::vector<std::byte> message(FuzzInput& input) {
    std::vector<std::byte> bytes;
    const std::uint8_t kind = input.byte();
    if (kind >= 224) {
        append(bytes, input.bytes(kind - 224U + 1));
        return bytes;
    }
    if (kind >= 216) {
        append(bytes, std::uint32_t{input.byte()});  // the client's flags
        return bytes;
    }
    const std::uint8_t option = kind % 13;
    const auto data = data_for(option, input);
    auto length = static_cast<std::uint32_t>(data.size());
    if (kind >= 200) length = input.number<std::uint32_t>();  // and it is a lie
    append(bytes, nbd::magic_option);
    append(bytes, std::uint32_t{option});
    append(bytes, length);
    append(bytes, data);
    return bytes;
}

// All of what was sent is in whole replies of the protocol's form; how many of them end an option.
std::size_t count_final_replies(std::span<const std::byte> said) {
    std::size_t finals = 0;
    while (!said.empty()) {
        demand(said.size() >= 20, "a reply is cut short");
        demand(load_be<std::uint64_t>(said.data()) == nbd::magic_option_reply, "a reply's magic");
        const auto option = static_cast<nbd::Option>(load_be<std::uint32_t>(said.data() + 8));
        const auto type = load_be<std::uint32_t>(said.data() + 12);
        const auto length = load_be<std::uint32_t>(said.data() + 16);
        demand(said.size() - 20 >= length, "a reply is shorter than it says");
        const std::string_view text(reinterpret_cast<const char*>(said.data() + 20), length);
        if (type == static_cast<std::uint32_t>(nbd::Reply::server) ||
            type == static_cast<std::uint32_t>(nbd::Reply::info))
            demand(text.find(NbdWorld::hidden) == text.npos, "a hidden export was shown");
        demand(
            type != static_cast<std::uint32_t>(nbd::Reply::server) || option == nbd::Option::list,
            "an export is listed unasked");
        finals += type == 1 || type >= 0x80000000 ? 1 : 0;
        said = said.subspan(20 + length);
    }
    return finals;
}

class Client {
public:
    Client(NbdServer& server, std::uint8_t piece)
        : server_(server), negotiation_(server, peer_), piece_(piece % 8 == 0 ? ~0UL : piece) {
        const auto greeting = negotiation_.take_output();
        demand(greeting.size() == 18, "the greeting");
    }
    bool going() const { return negotiation_.state() == State::choosing; }

    void send(std::span<const std::byte> bytes) {
        while (!bytes.empty() && going()) {
            const std::size_t n = std::min(piece_, bytes.size());
            waiting_.insert(waiting_.end(), bytes.begin(), bytes.begin() + static_cast<long>(n));
            bytes = bytes.subspan(n);
            take();
        }
    }

private:
    void take() {
        while (going() && !waiting_.empty()) {
            const std::size_t n = negotiation_.take(waiting_);
            demand(n <= waiting_.size(), "it takes more than there is");
            if (n == 0 && negotiation_.state() == State::choosing) {
                demand(waiting_.size() < NbdNegotiation::longest_message, "it waits for too much");
                demand(negotiation_.take_output().empty(), "it answers what is not there yet");
                return;
            }
            waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<long>(n));
            judge();
        }
    }
    void judge() {
        const auto said = negotiation_.take_output();
        const State state = negotiation_.state();
        const NbdAgreement& agreed = negotiation_.agreement();
        if (state == State::agreed) {
            demand(secure_ || !server_.tls_required(), "in the clear where TLS is required");
            demand(agreed.exported != nullptr, "agreed on nothing");
            const NbdRight right = agreed.exported->access.right_of(peer_);
            demand(right != NbdRight::none, "agreed on an export that may not be seen");
            demand(agreed.may_write == (right == NbdRight::write), "may write, or may not");
            demand(!agreed.contexts.any() || agreed.replies != NbdReplies::simple,
                   "contexts without chunks");
            if (said.size() == 10 || said.size() == 134) return;  // EXPORT_NAME's
        }
        demand(count_final_replies(said) <= 1, "one option, two answers");
        if (state != State::securing) return;
        demand(!secure_, "TLS within TLS");
        secure_ = true;
        waiting_.clear();
        peer_.key = "fuzz";
        negotiation_ = NbdNegotiation::secured(negotiation_);
        demand(negotiation_.take_output().empty(), "it speaks first behind the handshake");
        demand(negotiation_.agreement().replies == NbdReplies::simple, "what was said before TLS");
    }

    NbdServer& server_;
    NbdPeer peer_{1000, {100}, "", ""};
    NbdNegotiation negotiation_;
    std::size_t piece_;
    bool secure_ = false;
    std::vector<std::byte> waiting_;
};

}  // namespace
}  // namespace thinvol

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t n) {
    using namespace thinvol;
    static Servers servers;
    FuzzInput input(data, n);
    const std::uint8_t which = input.byte();
    Client client(*servers.worlds[which % 3].server, static_cast<std::uint8_t>(which / 3));
    if (which % 2 == 0) {
        std::vector<std::byte> flags;
        append(flags, std::uint32_t{3});
        client.send(flags);
    }
    for (std::size_t i = 0; i < steps_max && !input.empty() && client.going(); ++i)
        client.send(message(input));
    return 0;
}
