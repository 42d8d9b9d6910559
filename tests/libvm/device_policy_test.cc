// Goal: how a volume is exported is understood or refused as a whole, and `auto` takes what is
// there.
#include <catch2/catch_test_macros.hpp>

#include "libvm/device_policy.h"
#include "libvm/device_users.h"
#include "libvm/nbd_access.h"

namespace thinvol {

TEST_CASE("each way to export, and both ways at once") {
    const auto parsed = [](std::string_view text) {
        auto kinds = ExportKinds::parse(text);
        REQUIRE(kinds);
        return *kinds;
    };
    CHECK(parsed("nbd").nbd);
    CHECK(parsed("nbd").device == DeviceKind::none);
    CHECK_FALSE(parsed("ublk").nbd);
    CHECK(parsed("ublk").device == DeviceKind::ublk);
    CHECK_FALSE(parsed("nbd-kernel").nbd);
    CHECK(parsed("nbd-kernel").device == DeviceKind::nbd);
    CHECK(parsed("nbd,ublk").nbd);
    CHECK(parsed("ublk,nbd").device == DeviceKind::ublk);
    CHECK(parsed("auto").automatic);
}

TEST_CASE("what is no way to export is refused") {
    for (const char* text : {"", "nbd,", ",nbd", "nbd,nbd", "ublk,nbd-kernel", "auto,nbd", "Ublk",
                             "nbd ublk", "nbd,ublk,nbd-kernel"}) {
        CAPTURE(text);
        const auto kinds = ExportKinds::parse(text);
        REQUIRE_FALSE(kinds);
        CHECK(kinds.error().code == Errc::invalid_argument);
        CHECK(kinds.error().text.find("auto") != std::string::npos);
    }
}

TEST_CASE("auto is ublk where that works, and NBD elsewhere") {
    const ExportKinds automatic = ExportKinds::parse("auto").value();
    CHECK(automatic.settled(true).device == DeviceKind::ublk);
    CHECK_FALSE(automatic.settled(true).nbd);
    CHECK(automatic.settled(false).device == DeviceKind::none);
    CHECK(automatic.settled(false).nbd);
    CHECK(ExportKinds::parse("ublk")->settled(false).device == DeviceKind::ublk);
}

TEST_CASE("a volume without NBD lets no client see it") {
    NbdPeer root;
    root.uid = 0;
    CHECK(NbdAccess::nobody().right_of(root) == NbdRight::none);
    CHECK(NbdAccess::nobody().right_of(NbdPeer{}) == NbdRight::none);
}

TEST_CASE("where a device is mounted is read from mountinfo") {
    const std::string lines =
        "28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "40 28 259:3 / /srv/a rw - ext4 /dev/ublkb0 rw\n"
        "41 28 0:50 / /srv/b rw shared:7 master:2 - btrfs /dev/ublkb0p1 rw\n"
        "42 28 259:30 / /srv/c rw - ext4 /dev/ublkb01 rw\n";
    const auto points = mount_points_in(lines, {"259:3"}, {"/dev/ublkb0", "/dev/ublkb0p1"});
    CHECK(points == std::vector<std::string>{"/srv/a", "/srv/b"});
    CHECK(mount_points_in("garbage\n\n1 2\n", {"259:3"}, {"/dev/ublkb0"}).empty());
}

}  // namespace thinvol
