// Goal: S44: whatever comes over a control socket, either way, is a request or answer that says the
//       same when it is written again, or an error; the same holds for operations that the catalog
//       keeps and for the messages of a thin-pool target.
// Method: by the input's first byte, its rest is a text or, with a length before it, a frame.
#include <sys/socket.h>

#include "libvm/control_protocol.h"
#include "libvm/pool_message.h"
#include "libvm/pool_operations.h"
#include "tests/fuzz/fuzz_input.h"

namespace thinvol {
namespace {

void be_asked(std::string_view text) {
    const auto request = request_from_json(text);
    if (!request) return;
    const std::string once = to_json(*request);
    demand(to_json(must(request_from_json(once))) == once, "a request that changes on its way");
}

void be_answered(std::string_view text) {
    const auto answer = answer_from_json(text);
    const std::string once = to_json(answer);
    const auto again = answer_from_json(once);
    demand(answer.has_value() == again.has_value(), "an answer that turns into another");
    demand(to_json(again) == once || !answer, "an answer that changes on its way");
}

void find_operation(std::string_view text) {
    const auto operation = operation_from_json(text);
    if (!operation) return;
    const std::string once = to_json(*operation);
    demand(to_json(must(operation_from_json(once))) == once, "an operation that changes");
    asked_of_pool(*operation);
}

void receive(std::string_view bytes) {
    int ends[2] = {-1, -1};
    demand(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "no socket pair");
    const UniqueFd ours(ends[0]);
    const UniqueFd theirs(ends[1]);
    if (::send(theirs.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return;
    ::shutdown(theirs.get(), SHUT_WR);
    if (!receive_hello(ours.get())) return;
    for (;;) {
        const auto text = receive_frame(ours.get());
        if (!text || !*text) return;
        demand((*text)->size() <= bytes.size(), "a frame that nobody sent");
        be_asked(**text);
    }
}

void be_told(std::string_view text) {
    std::vector<std::string> words(1);
    for (const char c : text) {
        if (c == ' ') words.emplace_back();
        else words.back() += c;
    }
    const auto message = parse_message(words);
    demand(!message || message->operations.size() <= 1, "one message, several operations");
    if (const auto id = parse_thin_id(text)) demand(id->n() < 1U << 24, "a thin id of 24 bits");
}

}  // namespace
}  // namespace thinvol

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t n) {
    using namespace thinvol;
    FuzzInput input(data, n);
    switch (input.byte() % 5) {
        case 0: be_asked(input.rest()); break;
        case 1: be_answered(input.rest()); break;
        case 2: find_operation(input.rest()); break;
        case 3: receive(input.rest()); break;
        default: be_told(input.rest()); break;
    }
    return 0;
}
