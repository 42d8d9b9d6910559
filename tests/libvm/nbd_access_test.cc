// Goal: the first rule that fits a peer decides; without rules all may; with rules whom none fits
// may nothing; what is no rule is refused.
#include <sys/socket.h>
#include <unistd.h>
#include <catch2/catch_test_macros.hpp>

#include <array>

#include "engine/base/unique_fd.h"
#include "libvm/nbd_access.h"

namespace thinvol {

namespace {

NbdRight right(std::string_view rules, const NbdPeer& peer) {
    const auto access = NbdAccess::parse(rules);
    REQUIRE(access);
    return access->right_of(peer);
}

const NbdPeer user{1000, {100, 27}, "", ""};
const NbdPeer certified{std::nullopt, {}, "back up", ""};
const NbdPeer keyed{std::nullopt, {}, "", "alice"};
const NbdPeer nobody{};

}  // namespace

TEST_CASE("without rules whoever was let in may do all") {
    for (const char* rules : {"", "  ", "\n\t"}) {
        for (const NbdPeer& peer : {user, certified, keyed, nobody})
            CHECK(right(rules, peer) == NbdRight::write);
    }
}

TEST_CASE("the first rule that fits decides") {
    CHECK(right("uid:1000=ro uid:1000=rw", user) == NbdRight::read);
    CHECK(right("uid:1001=rw gid:27=ro all=none", user) == NbdRight::read);
    CHECK(right("uid:1000=none all=rw", user) == NbdRight::none);
    CHECK(right("cert:back%20up=ro", certified) == NbdRight::read);
    CHECK(right("psk:alice=rw", keyed) == NbdRight::write);
    CHECK(right("cert:a=b=rw", {std::nullopt, {}, "a=b", ""}) == NbdRight::write);
    CHECK(right("cert:100%25=rw", {std::nullopt, {}, "100%", ""}) == NbdRight::write);
    CHECK(right("all=ro", nobody) == NbdRight::read);
}

TEST_CASE("whom no rule fits may nothing") {
    CHECK(right("uid:0=rw", nobody) == NbdRight::none);
    CHECK(right("gid:0=rw", nobody) == NbdRight::none);
    CHECK(right("uid:27=rw", user) == NbdRight::none);
    CHECK(right("psk:back%20up=rw cert:alice=rw", certified) == NbdRight::none);
    CHECK(right("psk:back%20up=rw cert:alice=rw", keyed) == NbdRight::none);
    CHECK(right("cert:ALICE=rw psk:alic=rw psk:alicex=rw", keyed) == NbdRight::none);
}

TEST_CASE("what is no rule is refused") {
    for (const char* rules : {"x",
                              "=",
                              "=rw",
                              "all",
                              "all=",
                              "all=w",
                              "all:1=rw",
                              "uid:=rw",
                              "uid:-1=rw",
                              "uid:1x=rw",
                              "uid:4294967295=rw",
                              "uid:99999999999999999999=rw",
                              "uid=rw",
                              "cert:=rw",
                              "psk:%=rw",
                              "psk:%1=rw",
                              "psk:%zz=rw",
                              "psk:a%00=rw",
                              "user:root=rw",
                              "UID:1=rw",
                              "uid:1=rw,uid:2=rw"})
        CHECK_FALSE(NbdAccess::parse(rules));
}

TEST_CASE("the kernel says who is at the other end of a Unix socket") {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
    const UniqueFd one(ends[0]);
    const UniqueFd other(ends[1]);
    const NbdPeer peer = peer_at(one.get());
    CHECK(peer.uid == ::geteuid());
    CHECK(right("gid:" + std::to_string(::getegid()) + "=ro", peer) == NbdRight::read);
    const UniqueFd tcp(::socket(AF_INET, SOCK_STREAM, 0));
    CHECK_FALSE(peer_at(tcp.get()).uid);
    CHECK(peer_at(tcp.get()).groups.empty());
}

}  // namespace thinvol
