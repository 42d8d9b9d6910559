#include "commands/file_system_resize.h"

#include "libvm/borrowed_device.h"
#include "libvm/file_system.h"
#include "libvm/private_mount.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

Result<VolumeResult> resized(Session& session, const FoundThin& found, Bytes size) {
    if (size == found.thin.size) return VolumeResult{};
    return resize_volume(session, found.group, found.thin, size);
}

// With the way out where the device is why not.
Error without_device(Error error, const FoundThin& found, bool shrink) {
    const std::string_view way_out =
        error.code == Errc::busy
            ? "deactivate it first, or leave --resizefs out and have the file system resized there"
        : shrink ? "make the file system smaller where it can be (resize2fs DEVICE SIZE; XFS "
                   "cannot be), then use tvreduce without --resizefs"
                 : "leave --resizefs out, then let the file system grow where it is attached "
                   "(resize2fs DEVICE, xfs_growfs MOUNTPOINT)";
    return {error.code, fmt::format("the file system of {} needs a block device: {}: {}",
                                    found.full_name(), error.text, way_out)};
}

Result<BorrowedDevice> device_of(Session& session, const FoundThin& found, bool shrink) {
    auto device = BorrowedDevice::open(session, found.group, found.thin);
    if (!device) return without_device(std::move(device).error(), found, shrink);
    if (auto can = device->check_resizable(); !can)
        return Error(can.error().code,
                     fmt::format("{}: deactivate {} (tvchange -an) and try again, it is resized "
                                 "then",
                                 can.error().text, found.full_name()));
    return device;
}

Result<VolumeResult> grow(Session& session, const FoundThin& found, Bytes size) {
    {
        BorrowedDevice device = TRY(device_of(session, found, false));
        const FileSystem present = TRY(FileSystem::find(device.node()));
        TRY(present.check_growable());
        TRY(present.check_sound());
        TRY(device.give_back());
    }
    VolumeResult result = TRY(resized(session, found, size));
    const auto follow = [&]() -> Result<> {
        BorrowedDevice device = TRY(device_of(session, found, false));
        if (device.size() < size)
            return Error(Errc::io_error, fmt::format("{} has {} still", device.node(),
                                                     format_size_long(device.size())));
        const FileSystem present = TRY(FileSystem::find(device.node()));
        TRY(present.grow(mount_place(session.environment)));
        return device.give_back();
    };
    auto done = follow();
    if (done) return result;
    return Error(done.error().code,
                 fmt::format("{} has {} now, and its file system has not: {}; the same command "
                             "with that size lets it follow",
                             found.full_name(), format_size_long(size), done.error().text));
}

Result<VolumeResult> shrink(Session& session, const FoundThin& found, Bytes size) {
    // Such a volume never shrinks, and says so before its file system has.
    if (!found.thin.external_origin.empty()) return resized(session, found, size);
    {
        BorrowedDevice device = TRY(device_of(session, found, true));
        const FileSystem present = TRY(FileSystem::find(device.node()));
        TRY(present.check_shrinkable());
        TRY(present.check_sound());
        TRY(within(fmt::format("{} stays as it is", found.full_name()), present.shrink(size)));
        TRY(device.give_back());
    }
    auto done = resized(session, found, size);
    if (done) return done;
    return Error(done.error().code,
                 fmt::format("the file system of {} has {} now, and the volume stays as it was: {}",
                             found.full_name(), format_size_long(size), done.error().text));
}

}  // namespace

Result<VolumeResult> resize_with_file_system(Session& session, const FoundThin& found, Bytes size) {
    // A rehearsal has no devices to look at.
    if (session.environment.rehearsal) return resized(session, found, size);
    return size < found.thin.size ? shrink(session, found, size) : grow(session, found, size);
}

}  // namespace thinvol
