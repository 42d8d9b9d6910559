#include "libvm/bare_pool.h"
#include "engine/run_now.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace thinvol {
namespace {

PoolOptions never_waiting(PoolFeatures features) {
    features.error_if_no_space = true;
    return {features};
}

}  // namespace

Result<BarePool> BarePool::lock(const BareDevices& devices) {
    const auto open_one = [](const std::string& path) {
        return file_opener().open(path, {.lock = LockKind::exclusive, .unflushed = true});
    };
    BarePool bare;
    bare.metadata_ = std::move(TRY(within("metadata device", open_one(devices.metadata))).queue);
    bare.data_ = std::move(TRY(within("data device", open_one(devices.data))).queue);
    return bare;
}

Result<BarePool> BarePool::create(const BareDevices& devices, Sectors data_block_size,
                                  const PoolFeatures& features, bool overwrite) {
    BarePool bare = TRY(lock(devices));
    std::array<std::byte, metadata_block_bytes> first{};
    if (bare.metadata_->size() >= to_sectors(Bytes(first.size())))
        TRY(within(devices.metadata, read_now(*bare.metadata_, Sector(0), first)));
    const bool blank =
        std::all_of(first.begin(), first.end(), [](std::byte b) { return b == std::byte{0}; });
    if (!blank && !overwrite) {
        return Error(Errc::exists,
                     fmt::format("{}: the first block is not all zeroes, so that something may be "
                                 "there: clear it, or say --yes to overwrite it",
                                 devices.metadata));
    }
    bare.pool_ =
        TRY(Pool::create(*bare.metadata_, *bare.data_, data_block_size, never_waiting(features)));
    return bare;
}

Result<BarePool> BarePool::open(const BareDevices& devices, const PoolFeatures& features) {
    BarePool bare = TRY(lock(devices));
    bare.pool_ = TRY(within(devices.metadata,
                            Pool::open(*bare.metadata_, *bare.data_, never_waiting(features))));
    return bare;
}

BarePool::~BarePool() {
    if (pool_) ignore(pool_->settle(), "each call waited for what it promised");
}

std::string BarePool::status_json() const {
    const PoolStatus s = pool_->status();
    nlohmann::ordered_json json{{"transaction_id", s.transaction_id.n},
                                {"mode", name_of(s.mode)},
                                {"trouble", s.trouble},
                                {"needs_check", s.needs_check},
                                {"data_block_bytes", to_bytes(pool_->data_block_size()).n},
                                {"data_blocks", s.data_size.n},
                                {"data_blocks_used", s.data_used.n},
                                {"metadata_blocks", s.metadata_size.n},
                                {"metadata_blocks_used", s.metadata_used.n},
                                {"features", feature_words(pool_->features())}};
    if (s.metadata_snapshot != MetadataBlock(0)) json["metadata_snapshot"] = s.metadata_snapshot.n;
    return json.dump(2);
}

Result<> BarePool::grow() {
    const PoolStatus status = pool_->status();
    std::vector<PoolOperation> wanted;
    const MetadataBlocks metadata =
        std::min(to_metadata_blocks(metadata_->size()), max_metadata_blocks);
    if (metadata > status.metadata_size) wanted.emplace_back(GrowMetadata{metadata});
    const DataBlocks data(data_->size().n / pool_->data_block_size().n);
    if (data > status.data_size) wanted.emplace_back(GrowData{data});
    return apply_now(*pool_, std::move(wanted), status.transaction_id, status.transaction_id);
}

}  // namespace thinvol
