// FileSystem: what is on a volume's block device, changed by its own tools: resize2fs, xfs_growfs
// and their like.
//
// Units       bytes
// Invariants  (1) what its check_*() refuses is refused before anything is changed
//             (2) a file system that nobody has mounted was checked before it is changed
// Errors      unsupported: what is there cannot be changed so, and the way out; not_found: the tool
//             is not installed; busy: it is mounted; io_error: what the tool said
// Threads     one, and no other in the process where something has to be mounted
// Source      resize2fs(8), e2fsck(8), xfs_growfs(8), tune2fs(8), xfs_admin(8)
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/units.h"

namespace thinvol {

class FileSystem {
public:
    // What libblkid knows; unsupported: nothing, partitions, swap ...
    static Result<FileSystem> find(const std::string& node);

    const std::string& type() const { return type_; }
    bool mounted() const { return !mount_points_.empty(); }

    Result<> check_growable() const;
    // Also that nobody has it mounted.
    Result<> check_shrinkable() const;
    // Where it is not mounted: found sound, or put right. A full look, as resize2fs wants it.
    Result<> check_sound() const;
    // To all of its device. Where it has to be mounted for that and is not, it is for the moment,
    // there, where nobody else sees it.
    Result<> grow(const std::filesystem::path& place) const;
    Result<> shrink(Bytes size) const;

    Result<> check_uuid_changeable() const;
    // A UUID of its own. What it was frozen or killed with is recovered first.
    Result<> renew_uuid(const std::filesystem::path& place) const;

private:
    FileSystem(std::string node, std::string type, std::vector<std::string> mount_points)
        : node_(std::move(node)), type_(std::move(type)), mount_points_(std::move(mount_points)) {}
    bool is_ext() const { return type_.starts_with("ext"); }
    Error no_way(std::string_view what, std::string_view way_out) const;

    std::string node_;
    std::string type_;
    std::vector<std::string> mount_points_;
};

}  // namespace thinvol
