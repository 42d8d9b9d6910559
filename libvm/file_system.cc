#include "libvm/file_system.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "engine/base/unique_fd.h"
#include "libvm/device_users.h"
#include "libvm/private_mount.h"
#include "libvm/program.h"

namespace thinvol {
namespace {

constexpr int e2fsck_corrected = 1;  // and below; more are errors left

// What libblkid calls it. Empty: nothing that it knows, or two things at once.
std::string type_of(int fd) {
    const std::unique_ptr<blkid_struct_probe, decltype(&blkid_free_probe)> probe(blkid_new_probe(),
                                                                                 blkid_free_probe);
    if (probe == nullptr || blkid_probe_set_device(probe.get(), fd, 0, 0) != 0) return "";
    blkid_probe_enable_superblocks(probe.get(), 1);
    blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE);
    blkid_probe_enable_partitions(probe.get(), 1);
    const char* value = nullptr;
    if (blkid_do_safeprobe(probe.get()) != 0) return "";
    if (blkid_probe_lookup_value(probe.get(), "TYPE", &value, nullptr) == 0) return value;
    if (blkid_probe_lookup_value(probe.get(), "PTTYPE", &value, nullptr) == 0) return "partitions";
    return "";
}

Result<> run(const std::string& tool, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TRY(find_program(tool)));
    return run_to_success({std::move(arguments)});
}

}  // namespace

Result<FileSystem> FileSystem::find(const std::string& node) {
    const UniqueFd fd(::open(node.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return Error(Errc::io_error, fmt::format("{}: {}", node, std::strerror(errno)));
    std::string type = type_of(fd.get());
    if (type.empty())
        return Error(Errc::unsupported, fmt::format("there is no file system on {}", node));
    return FileSystem(node, std::move(type), file_systems_on(node));
}

Error FileSystem::no_way(std::string_view what, std::string_view way_out) const {
    return {Errc::unsupported,
            fmt::format("{} has {}, which is not {} from here: {}", node_, type_, what, way_out)};
}

Result<> FileSystem::check_growable() const {
    if (!is_ext() && type_ != "xfs")
        return no_way("resized",
                      "leave --resizefs out, and let its own tools make use of the new space");
    TRY(find_program(is_ext() ? "resize2fs" : "xfs_growfs"));
    return {};
}

Result<> FileSystem::check_shrinkable() const {
    if (type_ == "xfs")
        return Error(Errc::unsupported,
                     fmt::format("{} has xfs, which cannot shrink: make a smaller volume and copy "
                                 "the files",
                                 node_));
    if (!is_ext())
        return no_way("resized", "let its own tools make it smaller, then leave --resizefs out");
    if (mounted())
        return Error(Errc::busy, fmt::format("{} is mounted on {}, and {} shrinks only while it is "
                                             "not: unmount it first",
                                             node_, mount_points_.front(), type_));
    TRY(find_program("resize2fs"));
    TRY(find_program("e2fsck"));
    return {};
}

// What can be put right without a question is; -f: also if it says that it is clean.
Result<> FileSystem::check_sound() const {
    if (mounted() || !is_ext()) return {};
    const std::string tool = TRY(find_program("e2fsck"));
    const ProgramEnd end = TRY(run_program({{tool, "-f", "-p", node_}}));
    if (end.status <= e2fsck_corrected) return {};
    return Error(Errc::io_error,
                 fmt::format("e2fsck of {} ended with {}: {}", node_, end.status, end.output));
}

Result<> FileSystem::grow(const std::filesystem::path& place) const {
    if (is_ext()) return run("resize2fs", {node_});
    if (mounted()) return run("xfs_growfs", {"-d", mount_points_.front()});
    const std::string tool = TRY(find_program("xfs_growfs"));
    return in_private_mount({node_, type_, "nouuid", place}, {{tool, "-d", place.string()}});
}

Result<> FileSystem::shrink(Bytes size) const {
    return run("resize2fs", {node_, fmt::format("{}K", size.n >> 10)});
}

Result<> FileSystem::check_uuid_changeable() const {
    if (mounted())
        return Error(Errc::busy, fmt::format("{} is mounted on {}", node_, mount_points_.front()));
    if (!is_ext() && type_ != "xfs") return no_way("given a new UUID", "leave --new-uuid out");
    TRY(find_program(is_ext() ? "tune2fs" : "xfs_admin"));
    return {};
}

Result<> FileSystem::renew_uuid(const std::filesystem::path& place) const {
    TRY(check_sound());
    if (is_ext()) return run("tune2fs", {"-U", "random", node_});
    // Frozen or not, its log is not empty, and only mounting it empties that.
    TRY(in_private_mount({node_, type_, "nouuid", place}));
    return run("xfs_admin", {"-U", "generate", node_});
}

}  // namespace thinvol
