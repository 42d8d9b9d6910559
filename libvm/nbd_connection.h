// NbdConnection: one client, from the handshake to the end.
//
//   securing <--STARTTLS--> negotiating
//   negotiating --GO, EXPORT_NAME--> agreed --(on a thread)--> transmitting
//   transmitting --DISC, end of file--> closing
//        '-- ABORT, garbage, silence --> closing --(nothing in flight)--> closed
//
// Limits of the export hold requests back once they are read. They count as in flight, so there are
// never more than of a client whose requests are slow: past that nothing is read from it.
//
// Units       bytes
// Invariants  as NbdServer
// Errors      none: trouble with a client ends its connection
// Threads     that of its NbdClients
// Source      NetworkBlockDevice/nbd doc/proto.md
#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/base/unique_fd.h"
#include "libvm/nbd_negotiation.h"
#include "libvm/payload_memory.h"
#include "libvm/succession.h"
#include "libvm/tls_channel.h"

namespace thinvol {

class NbdClients;

class NbdConnection {
public:
    NbdConnection(NbdServer& server, UniqueFd socket);
    // With nothing left to negotiate; `attached`: counted as NbdServer::attached() says.
    NbdConnection(NbdServer& server, UniqueFd socket, const NbdAgreement& agreed, bool attached);
    ~NbdConnection();
    NbdConnection(const NbdConnection&) = delete;
    NbdConnection& operator=(const NbdConnection&) = delete;

    // It is that thread's from here on, to the end or leave().
    void settle_in(NbdClients& clients);
    void leave();
    // What the program before this one had read and not begun, answered and not sent.
    void continue_from(const HandedClient& before);
    // While the server pauses: whether nothing of it is in flight, nor stuck in the way out.
    bool is_quiet(bool grace_is_over) const;
    // Its socket, to go on as it is; none: it has to connect again.
    std::optional<HandedClient> hand_over();
    // Sends answers, takes in what has arrived. True if anything happened.
    bool run_once();
    void want_a_look();
    // One of its requests that NbdClients::holds() has let go.
    void start_held(std::unique_ptr<NbdRequest> request);
    void close();
    bool closed() const { return state_ == State::closed; }
    // To be placed on a thread; until then it takes in nothing more.
    bool has_agreed() const { return state_ == State::agreed; }
    bool is_placed() const { return placed_; }
    bool negotiates_too_long() const;
    // Asked in each sweep.
    bool hoards();
    bool waits_for_memory() const { return memory_.waits(); }
    // Without an answer to what it asked.
    void drop();

private:
    enum class State { negotiating, securing, agreed, transmitting, closing, closed };
    struct Outgoing {
        std::vector<std::byte> head;          // what negotiation says
        std::unique_ptr<NbdRequest> request;  // or an answered request
    };
    // A request as it came.
    struct Header {
        std::uint16_t flags;
        nbd::Command command;
        std::uint64_t cookie;
        std::uint64_t offset;
        std::uint64_t length;
        bool extended;
        NbdContexts contexts;
        std::size_t filter;  // bytes behind it that say which those are
    };
    struct Refusal {
        std::uint32_t error;  // 0: none
        const char* text;
    };

    void on_event(std::uint32_t events);
    void drop_answers();
    bool receive();
    ssize_t receive(std::byte* into, std::size_t room);
    bool secure();
    bool parse();
    bool parse_negotiation();
    bool parse_transmission();
    std::size_t available() const { return input_end_ - input_begin_; }
    const std::byte* input() const { return input_.data() + input_begin_; }
    void consume(std::size_t n) { input_begin_ += n; }

    bool take_command();
    Header read_header() const;
    static bool has_filter(const Header& header);
    void read_filter(Header& header) const;
    static std::size_t memory_for(const Header& header);
    Refusal check(const Header& header) const;
    Refusal check_flags(const Header& header) const;
    bool refuse(std::unique_ptr<NbdRequest> request, const Header& header, const Refusal& refusal);
    void prepare(NbdRequest& request, const Header& header);
    std::unique_ptr<NbdRequest> new_request();
    void submit(std::unique_ptr<NbdRequest> request);
    void start(std::unique_ptr<NbdRequest> request);
    void answer(std::unique_ptr<NbdRequest> request, std::uint32_t error,
                std::string_view text = {});
    bool send_answers();
    std::size_t gather(std::span<iovec> parts, std::size_t& used) const;
    void sent(std::size_t n);
    bool may_read() const;
    bool holds_back() const;
    void disconnect();
    bool ended() const;
    void set_events();

    NbdServer& server_;
    NbdClients* clients_ = nullptr;
    bool placed_ = false;
    bool wants_a_look_ = false;
    UniqueFd socket_;
    State state_ = State::negotiating;
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    NbdPeer peer_;
    NbdNegotiation negotiation_;
    std::unique_ptr<TlsChannel> tls_;  // null: in the clear
    NbdAgreement agreed_;
    bool attached_ = false;  // nothing was negotiated

    std::vector<std::byte> input_;
    std::size_t input_begin_ = 0;
    std::size_t input_end_ = 0;
    std::uint64_t skip_ = 0;  // bytes of the payload of `refused_`
    std::unique_ptr<NbdRequest> refused_;
    Refusal refusal_{};
    std::unique_ptr<NbdRequest> payload_;  // a write whose payload is arriving
    std::array<std::byte, nbd::extended_request_bytes> payload_head_{};  // as it came
    std::size_t payload_have_ = 0;
    bool large_writes_ = false;
    bool readable_ = false;  // there may be more to receive
    bool end_of_input_ = false;

    std::size_t in_flight_ = 0;
    PayloadShare memory_;      // of requests from arrival to sent answer
    std::uint64_t moved_ = 0;  // bytes, in and out
    std::uint64_t moved_at_sweep_ = 0;
    bool was_slow_ = false;  // at the last sweep
    std::deque<Outgoing> outgoing_;
    std::size_t sent_of_front_ = 0;
    std::uint32_t events_ = 0;
    std::vector<std::unique_ptr<NbdRequest>> idle_requests_;
};

}  // namespace thinvol
