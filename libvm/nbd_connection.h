// NbdConnection: one client, from the handshake to the end.
//
//   negotiating --GO, EXPORT_NAME--> transmitting --DISC, end of file--> closing
//        '-- ABORT, garbage, silence --> closing --(nothing in flight)--> closed
//
// Units       bytes
// Invariants  as NbdServer
// Errors      none: trouble with a client ends its connection
// Threads     the reactor's
// Source      NetworkBlockDevice/nbd doc/proto.md
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "libvm/nbd_protocol.h"
#include "libvm/nbd_server.h"

namespace thinvol {

class NbdConnection {
public:
    NbdConnection(NbdServer& server, UniqueFd socket);
    ~NbdConnection();
    NbdConnection(const NbdConnection&) = delete;
    NbdConnection& operator=(const NbdConnection&) = delete;

    // Sends answers, takes in what has arrived. True if anything happened.
    bool run_once();
    void close();
    bool closed() const { return state_ == State::closed; }
    bool negotiates_too_long() const;

private:
    enum class State { negotiating, transmitting, closing, closed };
    struct Request;
    struct Outgoing {
        std::vector<std::byte> head;       // option replies and greetings
        std::unique_ptr<Request> request;  // or an answered request
    };

    void on_event(std::uint32_t events);
    void drop_answers();
    bool receive();
    bool parse();
    bool parse_negotiation();
    bool parse_transmission();
    std::size_t available() const { return input_end_ - input_begin_; }
    const std::byte* input() const { return input_.data() + input_begin_; }
    void consume(std::size_t n) { input_begin_ += n; }

    void greet();
    bool client_flags();
    void option(std::uint32_t number, std::span<const std::byte> data);
    void option_list(std::span<const std::byte> data);
    void option_info(std::uint32_t number, std::span<const std::byte> data);
    void option_export_name(std::span<const std::byte> data);
    void reply(std::uint32_t option, nbd::Reply type, std::span<const std::byte> data = {});
    void start_transmission(NbdExport& exported);
    std::uint16_t transmission_flags(const NbdExport& exported) const;

    bool command();
    std::uint32_t check(nbd::Command command, std::uint16_t flags, std::uint64_t offset,
                        std::uint32_t length) const;
    std::unique_ptr<Request> new_request();
    void submit(std::unique_ptr<Request> request);
    void answer(std::unique_ptr<Request> request, std::uint32_t error);
    bool send_answers();
    std::size_t gather(std::span<iovec> parts, std::size_t& used) const;
    void sent(std::size_t n);
    bool may_read() const;
    void set_events();

    NbdServer& server_;
    UniqueFd socket_;
    State state_ = State::negotiating;
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    bool greeted_ = false;  // the client's flags came
    bool fixed_newstyle_ = false;
    bool no_zeroes_ = false;
    std::uint32_t options_ = 0;
    std::uint64_t skip_ = 0;  // bytes to be read away
    std::uint32_t skipped_option_ = 0;
    nbd::Reply skipped_answer_ = nbd::Reply::unsupported;

    NbdExport* export_ = nullptr;
    std::vector<std::byte> input_;
    std::size_t input_begin_ = 0;
    std::size_t input_end_ = 0;
    std::unique_ptr<Request> payload_;  // a write whose payload is arriving
    std::size_t payload_have_ = 0;
    bool readable_ = false;  // there may be more to receive
    bool end_of_input_ = false;

    std::size_t in_flight_ = 0;
    std::size_t bytes_held_ = 0;  // of requests from arrival to sent answer
    std::deque<Outgoing> outgoing_;
    std::size_t sent_of_front_ = 0;
    std::uint32_t events_ = 0;
    std::vector<std::unique_ptr<Request>> idle_requests_;
};

}  // namespace thinvol
