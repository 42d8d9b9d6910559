// NbdAccess: who may see, read and write an export; NbdPeer, what is known of who is at the other
// end of a connection.
//
// Rules stand between blanks, each WHO=RIGHT, as in "uid:1000=rw cert:backup=ro". WHO is
//   uid:NUMBER, gid:NUMBER   of the process at the other end of the Unix socket, all of its groups
//   cert:NAME, psk:NAME      what TLS proved: a certificate's common name, a pre-shared key's name
//   all                      anybody who was let in
// and RIGHT rw, ro or none. In a NAME, %XX stands for the byte XX: a blank is %20.
//
// Units       none
// Invariants  (1) the first rule that fits decides; where there are rules and none fits, nothing
//                 may be seen
//             (2) without rules whoever was let in may do all
//             (3) only what the kernel or a verified TLS handshake said is in an NbdPeer
// Errors      invalid_argument: the rule that is none, and what one looks like
// Threads     any; values
// Source      unix(7), SO_PEERCRED and SO_PEERGROUPS
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace thinvol {

struct NbdPeer {
    std::optional<uid_t> uid;  // nothing: not on a Unix socket
    std::vector<gid_t> groups;
    std::string certificate;  // empty: none
    std::string key;
};
NbdPeer peer_at(int socket);

enum class NbdRight { none, read, write };

class NbdAccess {
public:
    static Result<NbdAccess> parse(std::string_view text);
    NbdRight right_of(const NbdPeer& peer) const;
    // Lets nobody see anything.
    static NbdAccess nobody();

private:
    enum class Who { uid, gid, certificate, key, all };
    struct Rule {
        Who who = Who::all;
        std::uint32_t id = 0;
        std::string name;
        NbdRight right = NbdRight::none;
    };
    static Result<Rule> parse_rule(std::string_view text);
    static bool fits(const Rule& rule, const NbdPeer& peer);
    std::vector<Rule> rules_;
};

}  // namespace thinvol
