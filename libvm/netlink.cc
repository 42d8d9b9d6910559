#include "libvm/netlink.h"

#include <fmt/format.h>
#include <linux/genetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "engine/base/assert.h"

namespace thinvol {
namespace {

constexpr std::size_t aligned(std::size_t n) {
    return (n + NLA_ALIGNTO - 1) & ~(NLA_ALIGNTO - 1UL);
}
constexpr std::size_t head_bytes = sizeof(nlmsghdr) + sizeof(genlmsghdr);
constexpr std::size_t answer_max = 64 << 10;

}  // namespace

NetlinkMessage::NetlinkMessage(std::uint16_t family, std::uint8_t command, std::uint8_t version)
    : bytes_(head_bytes) {
    nlmsghdr head{};
    head.nlmsg_type = family;
    head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    genlmsghdr generic{};
    generic.cmd = command;
    generic.version = version;
    std::memcpy(bytes_.data(), &head, sizeof head);
    std::memcpy(bytes_.data() + sizeof head, &generic, sizeof generic);
}

void NetlinkMessage::append(const void* bytes, std::size_t n) {
    const std::size_t before = bytes_.size();
    bytes_.resize(before + aligned(n));  // the rest of it zeroes
    std::memcpy(bytes_.data() + before, bytes, n);
}

void NetlinkMessage::header(std::uint16_t attribute, std::size_t length) {
    nlattr head{};
    head.nla_len = static_cast<std::uint16_t>(NLA_HDRLEN + length);
    head.nla_type = attribute;
    append(&head, sizeof head);
}

void NetlinkMessage::add(std::uint16_t attribute, std::uint32_t value) {
    header(attribute, sizeof value);
    append(&value, sizeof value);
}

void NetlinkMessage::add(std::uint16_t attribute, std::uint64_t value) {
    header(attribute, sizeof value);
    append(&value, sizeof value);
}

void NetlinkMessage::add(std::uint16_t attribute, std::string_view text) {
    const std::string copy(text);
    header(attribute, copy.size() + 1);
    append(copy.c_str(), copy.size() + 1);
}

std::size_t NetlinkMessage::begin(std::uint16_t attribute) {
    const std::size_t at = bytes_.size();
    header(static_cast<std::uint16_t>(attribute | NLA_F_NESTED), 0);
    return at;
}

void NetlinkMessage::end(std::size_t begun) {
    const auto length = static_cast<std::uint16_t>(bytes_.size() - begun);
    std::memcpy(bytes_.data() + begun + offsetof(nlattr, nla_len), &length, sizeof length);
}

std::span<const std::byte> NetlinkMessage::finish(std::uint32_t sequence) {
    const auto length = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
    std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
    return bytes_;
}

NetlinkAttributes netlink_attributes(std::span<const std::byte> bytes) {
    NetlinkAttributes found;
    while (bytes.size() >= sizeof(nlattr)) {
        nlattr head{};
        std::memcpy(&head, bytes.data(), sizeof head);
        if (head.nla_len < NLA_HDRLEN || head.nla_len > bytes.size()) break;
        found[head.nla_type & NLA_TYPE_MASK] =
            bytes.subspan(NLA_HDRLEN, head.nla_len - std::size_t{NLA_HDRLEN});
        bytes = bytes.subspan(std::min(aligned(head.nla_len), bytes.size()));
    }
    return found;
}

Result<GenericNetlink> GenericNetlink::open(std::string_view family, std::string_view missing) {
    GenericNetlink netlink;
    netlink.socket_ = UniqueFd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
    if (!netlink.socket_)
        return Error(Errc::unsupported, fmt::format("netlink: {}", std::strerror(errno)));
    NetlinkMessage wanted(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
    wanted.add(CTRL_ATTR_FAMILY_NAME, family);
    std::vector<std::byte> answer;
    const int e = TRY(netlink.exchange(std::move(wanted), answer));
    const auto attributes = netlink_attributes(answer);
    const auto id = attributes.find(CTRL_ATTR_FAMILY_ID);
    if (e != 0 || id == attributes.end() || id->second.size() < sizeof netlink.family_)
        return Error(Errc::unsupported, std::string(missing));
    std::memcpy(&netlink.family_, id->second.data(), sizeof netlink.family_);
    return netlink;
}

Result<int> GenericNetlink::exchange(NetlinkMessage message, std::vector<std::byte>& answer) {
    const auto bytes = message.finish(++sequence_);
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    if (::sendto(socket_.get(), bytes.data(), bytes.size(), 0,
                 reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0)
        return Error(Errc::io_error, fmt::format("netlink: {}", std::strerror(errno)));
    std::vector<std::byte> buffer(answer_max);
    for (;;) {
        const ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return Error(Errc::io_error, fmt::format("netlink: {}", std::strerror(errno)));
        auto rest = std::span<const std::byte>(buffer).first(static_cast<std::size_t>(n));
        while (rest.size() >= sizeof(nlmsghdr)) {
            nlmsghdr head{};
            std::memcpy(&head, rest.data(), sizeof head);
            if (head.nlmsg_len < sizeof head || head.nlmsg_len > rest.size()) break;
            const auto content = rest.subspan(sizeof head, head.nlmsg_len - sizeof head);
            rest = rest.subspan(std::min(aligned(head.nlmsg_len), rest.size()));
            if (head.nlmsg_seq != sequence_) continue;
            if (head.nlmsg_type == NLMSG_ERROR && content.size() >= sizeof(int)) {
                int e = 0;
                std::memcpy(&e, content.data(), sizeof e);
                return -e;
            }
            if (content.size() > sizeof(genlmsghdr)) {
                const auto attributes = content.subspan(sizeof(genlmsghdr));
                answer.assign(attributes.begin(), attributes.end());
            }
        }
    }
}

Result<std::vector<std::byte>> GenericNetlink::ask(NetlinkMessage message, std::string_view what) {
    std::vector<std::byte> answer;
    const int e = TRY(exchange(std::move(message), answer));
    if (e == 0) return answer;
    const Errc code = e == EBUSY ? Errc::busy : e == ENOENT ? Errc::not_found : Errc::io_error;
    return Error(
        code, fmt::format("{}: {}", what, e == EPERM ? "only root may do that" : std::strerror(e)));
}

}  // namespace thinvol
