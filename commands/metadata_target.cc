#include "commands/metadata_target.h"

#include "engine/superblock.h"
#include "libvm/physical_volume.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

// What would be lost, in words; empty if nothing is known of.
Result<std::string> contents_of(const std::string& path, BlockQueue& device) {
    const PvCandidate candidate = TRY(file_opener().examine(path));
    if (candidate.label)
        return Error(Errc::busy, fmt::format("{} is a {}: name another device", path,
                                             candidate.signature.empty() ? "physical volume"
                                                                         : candidate.signature));
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
    TRY(within(path, read_now(device, Sector(0), bytes)));
    if (const auto superblock = Superblock::decode(bytes))
        return fmt::format("the metadata of a thin pool, transaction id {}",
                           superblock->transaction_id);
    return candidate.signature;
}

std::optional<std::uint64_t> number(const Invocation& call, const OptionSpec& option) {
    if (!call.has(option.name)) return std::nullopt;
    return *parse_number(call.value(option.name));  // its kind of value was checked
}

}  // namespace

PoolOverrides overrides_of(const Invocation& call) {
    PoolOverrides overrides;
    if (const auto n = number(call, transaction_id_option))
        overrides.transaction_id = TransactionId{*n};
    if (const auto n = number(call, data_block_size_option))
        overrides.data_block_size = Sectors(*n);
    if (const auto n = number(call, data_blocks_option)) overrides.data_blocks = DataBlocks(*n);
    return overrides;
}

Result<MetadataSource> open_metadata_target(Invocation& call, const std::string& path) {
    MetadataSource target = TRY(open_metadata_device(path, MetadataAccess::read));
    const std::string contents = TRY(contents_of(path, target.device()));
    target.view.reset();
    if (!contents.empty() &&
        !call.confirm(fmt::format("{} holds {}. Overwrite it?", path, contents)))
        return Error(Errc::exists,
                     fmt::format("{} holds {}; overwrite it with --yes", path, contents));
    return open_metadata_device(path, MetadataAccess::change);
}

}  // namespace thinvol
