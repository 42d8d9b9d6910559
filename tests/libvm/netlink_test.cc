// Goal: what is sent to the kernel has the layout of netlink(7), byte for byte, and what comes back
// is never read past its end.
#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>

#include <catch2/catch_test_macros.hpp>
#include <cstring>

#include "libvm/nbd_device.h"
#include "libvm/netlink.h"

namespace thinvol {
namespace {

template <class T>
T at(std::span<const std::byte> bytes, std::size_t offset) {
    T value{};
    REQUIRE(offset + sizeof value <= bytes.size());
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

template <class T>
T value_of(const NetlinkAttributes& attributes, std::uint16_t which) {
    REQUIRE(attributes.contains(which));
    return at<T>(attributes.at(which), 0);
}

constexpr std::size_t heads = sizeof(nlmsghdr) + sizeof(genlmsghdr);

}  // namespace

TEST_CASE("a message's heads and attributes lie where netlink wants them") {
    NetlinkMessage message(28, 3, 1);
    message.add(5, std::string_view("abcde"));
    message.add(6, std::uint32_t{7});
    const auto bytes = message.finish(42);
    CHECK(at<std::uint32_t>(bytes, 0) == bytes.size());
    CHECK(at<std::uint16_t>(bytes, 4) == 28);
    CHECK(at<std::uint16_t>(bytes, 6) == (NLM_F_REQUEST | NLM_F_ACK));
    CHECK(at<std::uint32_t>(bytes, 8) == 42);
    CHECK(at<std::uint8_t>(bytes, 16) == 3);
    CHECK(at<std::uint8_t>(bytes, 17) == 1);
    CHECK(at<std::uint16_t>(bytes, heads) == 4 + 6);  // text with its zero
    CHECK(at<std::uint16_t>(bytes, heads + 2) == 5);
    CHECK(at<std::uint16_t>(bytes, heads + 12) == 8);  // behind two bytes of padding
    CHECK(bytes.size() == heads + 12 + 8);
}

TEST_CASE("the kernel is told a volume's size, its owner and all connections") {
    const NbdAttachment wanted{Bytes(3 << 20),           true,          std::chrono::seconds(9),
                               std::chrono::seconds(90), "thinvol x 1", {11, 12, 13}};
    auto message = nbd_connect_message(28, wanted);
    const auto bytes = message.finish(1);
    CHECK(at<std::uint8_t>(bytes, 16) == NBD_CMD_CONNECT);
    const auto attributes = netlink_attributes(bytes.subspan(heads));
    CHECK_FALSE(attributes.contains(NBD_ATTR_INDEX));  // any
    CHECK(value_of<std::uint64_t>(attributes, NBD_ATTR_SIZE_BYTES) == 3 << 20);
    CHECK(value_of<std::uint64_t>(attributes, NBD_ATTR_BLOCK_SIZE_BYTES) == 512);
    CHECK(value_of<std::uint64_t>(attributes, NBD_ATTR_DEAD_CONN_TIMEOUT) == 9);
    CHECK(value_of<std::uint64_t>(attributes, NBD_ATTR_TIMEOUT) == 90);
    // HAS_FLAGS, READ_ONLY, FLUSH, FUA, TRIM, WRITE_ZEROES, CAN_MULTI_CONN
    CHECK(value_of<std::uint64_t>(attributes, NBD_ATTR_SERVER_FLAGS) == 0x16f);
    std::span<const std::byte> sockets = attributes.at(NBD_ATTR_SOCKETS);
    for (const std::uint32_t fd : {11U, 12U, 13U}) {
        const auto item = netlink_attributes(sockets.first(12));
        CHECK(value_of<std::uint32_t>(netlink_attributes(item.at(NBD_SOCK_ITEM)), NBD_SOCK_FD) ==
              fd);
        sockets = sockets.subspan(12);
    }
    CHECK(sockets.empty());
}

TEST_CASE("new connections of a device name it, and whose it is") {
    const NbdAttachment wanted{Bytes(3 << 20),           true,          std::chrono::seconds(9),
                               std::chrono::seconds(90), "thinvol x 1", {11, 12}};
    auto message = nbd_reconnect_message(28, 4, wanted);
    const auto bytes = message.finish(1);
    CHECK(at<std::uint8_t>(bytes, 16) == NBD_CMD_RECONFIGURE);
    const auto attributes = netlink_attributes(bytes.subspan(heads));
    CHECK(value_of<std::uint32_t>(attributes, NBD_ATTR_INDEX) == 4);
    CHECK(value_of<std::uint64_t>(attributes, NBD_ATTR_DEAD_CONN_TIMEOUT) == 9);
    CHECK_FALSE(attributes.contains(NBD_ATTR_SIZE_BYTES));  // it keeps what it has
    CHECK(attributes.at(NBD_ATTR_SOCKETS).size() == 2 * 12);
}

TEST_CASE("a resize names the device, whose it is, and its size") {
    auto message = nbd_resize_message(28, 4, "thinvol x 1", Bytes(1 << 30));
    const auto bytes = message.finish(1);
    CHECK(at<std::uint8_t>(bytes, 16) == NBD_CMD_RECONFIGURE);
    const auto attributes = netlink_attributes(bytes.subspan(heads));
    CHECK(value_of<std::uint32_t>(attributes, NBD_ATTR_INDEX) == 4);
    CHECK(value_of<std::uint64_t>(attributes, NBD_ATTR_SIZE_BYTES) == 1 << 30);
}

TEST_CASE("attributes that do not fit are left out") {
    std::vector<std::byte> bytes(16);
    const auto put = [&](std::size_t offset, std::uint16_t length, std::uint16_t type) {
        std::memcpy(&bytes[offset], &length, 2);
        std::memcpy(&bytes[offset + 2], &type, 2);
    };
    put(0, 8, 1);
    put(8, 9, 2);
    CHECK(netlink_attributes(bytes).size() == 1);
    put(8, 3, 2);
    CHECK(netlink_attributes(bytes).size() == 1);
    put(0, 0xffff, 1);
    CHECK(netlink_attributes(bytes).empty());
    CHECK(netlink_attributes(std::span(bytes).first(3)).empty());
}

}  // namespace thinvol
