#include "libvm/kernel_tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "engine/format.h"
#include "libvm/names.h"
#include "libvm/pool_engine.h"

namespace thinvol {
namespace {

// Words of a table end at white space; dmsetup and the kernel give these a meaning besides.
Result<> check_device(const std::string& path) {
    const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
        return c > ' ' && c < 0x7f && c != '\\' && c != '#' && c != ',' && c != ';';
    });
    if (plain && path.starts_with('/')) return {};
    return Error(Errc::invalid_argument,
                 fmt::format("\"{}\" cannot be named in a device-mapper table: an absolute path "
                             "without spaces, backslashes, '#', ',' and ';' can",
                             path));
}

// The block device that a physical volume is in the kernel.
Result<std::string> device_of(const PvRow& pv, const std::map<std::string, std::string>& devices) {
    std::string device = pv.path;
    if (const auto given = devices.find(pv.path); given != devices.end()) {
        device = given->second;
    } else if (std::error_code error; !std::filesystem::is_block_file(pv.path, error)) {
        return Error(Errc::invalid_argument,
                     fmt::format("physical volume {} is no block device: make it one (losetup "
                                 "--find --show {}) and name that with --map {}=DEVICE",
                                 pv.path, pv.path, pv.path));
    }
    TRY(check_device(device));
    return device;
}

class Builder {
public:
    Builder(Session& session, const GroupRow& group, const PoolRow& pool,
            const std::map<std::string, std::string>& devices)
        : session_(session), group_(group), pool_(pool), devices_(devices) {}

    Result<std::vector<KernelTable>> build() {
        pvs_ = TRY(session_.catalog.pvs(group_.id));
        for (const auto& [path, device] : devices_) {
            const bool known = std::any_of(pvs_.begin(), pvs_.end(),
                                           [&](const PvRow& pv) { return pv.path == path; });
            if (!known)
                return Error(Errc::not_found,
                             fmt::format("Physical volume \"{}\" is not in volume group \"{}\"",
                                         path, group_.name));
        }
        const Sectors metadata_most(max_metadata_blocks.n * (metadata_block_bytes / sector_bytes));
        const Sectors metadata_size = std::min(TRY(size_of(SegmentRole::metadata)), metadata_most);
        const std::string metadata =
            TRY(add_linear("_tmeta", SegmentRole::metadata, metadata_size));
        const std::uint64_t blocks = TRY(size_of(SegmentRole::data)).n / pool_.chunk_size.n;
        const Sectors data_size = pool_.chunk_size * blocks;
        const std::string data = TRY(add_linear("_tdata", SegmentRole::data, data_size));
        const std::string pool =
            add(pool_.lv.name, "-tpool", {pool_table(metadata, data, data_size)});
        for (const ThinRow& volume : TRY(session_.catalog.thins_of_pool(pool_.lv.id))) {
            add(volume.lv.name, "",
                {fmt::format("0 {} thin {} {}", volume.size.n / sector_bytes, pool,
                             volume.thin_id.n())},
                volume.lv.read_only);
        }
        return std::move(tables_);
    }

private:
    // Returns the device's path.
    std::string add(const std::string& volume, std::string_view suffix,
                    std::vector<std::string> lines, bool read_only = false) {
        const std::string name = mapper_name(group_.name, volume).append(suffix);
        tables_.push_back({name, std::move(lines), read_only});
        return "/dev/mapper/" + name;
    }

    Result<Sectors> size_of(SegmentRole role) {
        Sectors size(0);
        for (const SegmentRow& s : TRY(session_.catalog.segments_of(pool_.lv.id, role, false)))
            size += group_.extent_size * s.length.n;
        return size;
    }

    Result<std::string> add_linear(std::string_view suffix, SegmentRole role, Sectors end) {
        std::vector<std::string> lines;
        for (const SegmentRow& s : TRY(session_.catalog.segments_of(pool_.lv.id, role, false))) {
            const Sectors start = group_.extent_size * s.start.n;
            if (start >= end) break;
            const auto pv = std::find_if(pvs_.begin(), pvs_.end(),
                                         [&](const PvRow& p) { return p.id == s.pv_id; });
            if (pv == pvs_.end())
                return Error(Errc::corrupt,
                             fmt::format("catalog: physical volume {} is missing", s.pv_id));
            const Sectors length = std::min(group_.extent_size * s.length.n, end - start);
            const Sectors at = pv->data_start + group_.extent_size * s.pv_start.n;
            const std::string device = TRY(device_of(*pv, devices_));
            lines.push_back(fmt::format("{} {} linear {} {}", start, length, device, at));
        }
        return add(pool_.lv.name, suffix, std::move(lines));
    }

    std::string pool_table(const std::string& metadata, const std::string& data,
                           Sectors size) const {
        const std::vector<std::string> features = feature_words(features_of(pool_));
        return fmt::format("0 {} thin-pool {} {} {} {} {}{}{}", size, metadata, data,
                           pool_.chunk_size, low_water_blocks, features.size(),
                           features.empty() ? "" : " ", fmt::join(features, " "));
    }

    static constexpr int low_water_blocks = 0;  // no event: nobody here listens for one
    Session& session_;
    const GroupRow& group_;
    const PoolRow& pool_;
    const std::map<std::string, std::string>& devices_;
    std::vector<PvRow> pvs_;
    std::vector<KernelTable> tables_;
};

}  // namespace

Result<std::vector<KernelTable>> kernel_tables(Session& session, const GroupRow& group,
                                               const PoolRow& pool,
                                               const std::map<std::string, std::string>& devices) {
    // Who opens a pool brings what was half done to its end; one in use is refused.
    if (pool.lent_to == LentTo::nobody) TRY(LocalPool::open(session, group, pool));
    return Builder(session, group, pool, devices).build();
}

}  // namespace thinvol
