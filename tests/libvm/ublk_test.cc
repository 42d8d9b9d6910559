// Goal: a volume's disk has the limits that the engine gives it, each of the driver's requests is
// the engine's, and a machine without the driver says so with the way out.
#include <catch2/catch_test_macros.hpp>
#include <filesystem>

#include "libvm/kernel_device.h"
#include "libvm/ublk_control.h"
#include "libvm/ublk_queue.h"
#include "libvm/uuid.h"

namespace thinvol {
namespace {

DiskGeometry disk(std::uint64_t data_block) {
    return {Bytes(5 << 20), Bytes(data_block), Bytes(512 << 10), false};
}

ublk::IoDescriptor descriptor(ublk::Op op, std::uint32_t flags = 0) {
    return {static_cast<std::uint32_t>(op) | flags, 16, 1024, 0};
}

}  // namespace

TEST_CASE("a disk's limits are those of the volume") {
    const ublk::Parameters p = ublk_parameters(disk(64 << 10));
    CHECK(p.types == (ublk::type_basic | ublk::type_discard));
    CHECK(p.attributes == (ublk::attribute_volatile_cache | ublk::attribute_fua));
    CHECK(1U << p.logical_block_shift == 512);
    CHECK(1U << p.physical_block_shift == 4096);
    CHECK(1U << p.io_optimal_shift == 64 << 10);
    CHECK(p.device_sectors == (5 << 20) / 512);
    CHECK(p.sectors_max == 1024);
    CHECK(p.discard_granularity == 64 << 10);
    CHECK(p.discard_segments_max == 1);
    CHECK(p.discard_sectors_max > 0);
    CHECK(p.write_zeroes_sectors_max > 0);
}

TEST_CASE("a data block that is no power of two: the largest that divides it is told") {
    const ublk::Parameters p = ublk_parameters(disk(192 << 10));
    CHECK(1U << p.io_optimal_shift == 64 << 10);
    CHECK(p.discard_granularity == 192 << 10);
}

TEST_CASE("a read-only volume is a read-only disk") {
    DiskGeometry read_only = disk(64 << 10);
    read_only.read_only = true;
    CHECK((ublk_parameters(read_only).attributes & ublk::attribute_read_only) != 0);
}

TEST_CASE("the driver's requests are the engine's") {
    const auto asked = [](const ublk::IoDescriptor& d) {
        IoRequest request;
        REQUIRE(translate(d, request));
        return request;
    };
    const IoRequest read = asked(descriptor(ublk::Op::read));
    CHECK(read.kind == IoKind::read);
    CHECK(read.offset == ByteOffset(1024 * 512));
    CHECK(read.length == Bytes(16 * 512));
    const IoRequest write = asked(descriptor(ublk::Op::write, ublk::io_fua));
    CHECK(write.kind == IoKind::write);
    CHECK(write.fua);
    CHECK_FALSE(asked(descriptor(ublk::Op::write)).fua);
    const IoRequest flush = asked(descriptor(ublk::Op::flush));
    CHECK(flush.kind == IoKind::flush);
    CHECK(flush.length == Bytes(0));
    CHECK(asked(descriptor(ublk::Op::discard)).kind == IoKind::discard);
    CHECK_FALSE(asked(descriptor(ublk::Op::write_zeroes)).keep_allocated);
    CHECK(asked(descriptor(ublk::Op::write_zeroes, ublk::io_no_unmap)).keep_allocated);
    IoRequest unknown;
    CHECK_FALSE(translate(descriptor(static_cast<ublk::Op>(15)), unknown));
}

TEST_CASE("where a request's data are does not depend on any other request") {
    CHECK(ublk::data_offset(0, 0) == 0x80000000);
    CHECK(ublk::data_offset(0, 1) - ublk::data_offset(0, 0) == 32 << 20);
    CHECK(ublk::data_offset(1, 0) - ublk::data_offset(0, 0) == 32ULL * (1 << 16) << 20);
}

TEST_CASE("a device is told from those of other pools") {
    const std::string mine = new_uuid(), other = new_uuid();
    const auto id = ThinId::checked(0xffffff);
    CHECK(is_of_pool(ublk_owner(mine, id), mine));
    CHECK_FALSE(is_of_pool(ublk_owner(mine, id), other));
    CHECK(ublk_owner(mine, id) != ublk_owner(mine, ThinId::checked(0)));
    CHECK(is_of_pool(nbd_owner(mine, id), mine));
    CHECK_FALSE(is_of_pool(nbd_owner(mine, id), other));
    CHECK(volume_of(ublk_owner(mine, id)) == id);
    CHECK(volume_of(nbd_owner(mine, id)) == id);
    CHECK_FALSE(volume_of("thinvol " + std::string(mine) + " x"));
}

TEST_CASE("without the driver the error says so, and how to go without it") {
    if (std::filesystem::exists("/dev/ublk-control")) SKIP("this machine has ublk");
    const auto control = UblkControl::open();
    REQUIRE_FALSE(control);
    CHECK(control.error().code == Errc::unsupported);
    CHECK(control.error().text.find("modprobe ublk_drv") != std::string::npos);
    CHECK(control.error().text.find("--export nbd") != std::string::npos);
}

}  // namespace thinvol
