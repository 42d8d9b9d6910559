// NbdNegotiation: a client's options and their answers, up to what both agree on. Knows no socket:
// bytes come in, bytes go out.
//
//   choosing --GO, EXPORT_NAME--> agreed
//      |------- STARTTLS -------> securing     (and a new negotiation behind the handshake)
//      '--- ABORT, garbage -----> ended
//
// Units       bytes
// Invariants  (1) each option is answered, or the negotiation ended: unknown ones in step
//             (2) an option's data are bounded, and so is the number of options
//             (3) where TLS is required nothing but STARTTLS and ABORT is listened to without it;
//                 nothing said before it survives it
//             (4) an export that the client may not see is as one that does not exist
// Errors      none: the client is told
// Threads     the reactor's
// Source      NetworkBlockDevice/nbd doc/proto.md
#pragma once

#include <span>
#include <string>
#include <vector>

#include "libvm/nbd_access.h"
#include "libvm/nbd_request.h"

namespace thinvol {

class NbdServer;

class NbdNegotiation {
public:
    // `peer` may be known better after the handshake.
    NbdNegotiation(NbdServer& server, const NbdPeer& peer);
    // What follows a TLS handshake.
    static NbdNegotiation secured(const NbdNegotiation& before);

    enum class State { choosing, securing, agreed, ended };
    State state() const { return state_; }
    // Takes in one message or a part of it from the front of the input; how many bytes. 0: more
    // must come first.
    std::size_t take(std::span<const std::byte> input);
    // What is to be sent, once.
    std::vector<std::byte> take_output() { return std::exchange(output_, {}); }
    const NbdAgreement& agreement() const { return agreement_; }

    static constexpr std::size_t longest_message = nbd::option_bytes + (64 << 10);

private:
    using Data = std::span<const std::byte>;
    std::size_t client_flags(Data input);
    void refuse(nbd::Reply type, std::uint64_t data_length);
    bool refused_unread(std::uint32_t length);
    void option(Data data);
    void list(Data data);
    void info(Data data);
    void export_name(Data data);
    void start_tls(Data data);
    void agree_on(NbdReplies form, Data data);
    void meta_context(Data data);
    void send_infos(const NbdExport& exported, Data asked);
    void reply(nbd::Reply type, Data data = {});
    void reply(nbd::Reply type, std::string_view text);
    NbdRight right_to(const NbdExport& exported) const;
    NbdExport* find(std::string_view name) const;
    std::uint16_t transmission_flags(const NbdExport& exported) const;
    void agree(NbdExport& exported);

    NbdServer* server_;
    const NbdPeer* peer_;
    State state_ = State::choosing;
    bool secure_ = false;
    bool greeted_ = false;  // the client's flags came
    bool fixed_newstyle_ = false;
    bool no_zeroes_ = false;
    nbd::Option option_{};  // being answered
    std::uint32_t options_ = 0;
    std::uint64_t skip_ = 0;  // bytes to be read away before the answer
    nbd::Reply skipped_answer_ = nbd::Reply::unsupported;
    NbdAgreement agreement_;
    std::string contexts_of_;  // the export that contexts were selected for
    std::vector<std::byte> output_;
};

}  // namespace thinvol
