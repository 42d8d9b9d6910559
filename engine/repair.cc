#include "engine/repair.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "engine/repair_roots.h"

namespace thinvol {
namespace {

constexpr std::size_t ranges_named = 8;  // of those that one volume has lost

// Of mappings that can be reached: how far they go.
class Reach : public MetadataVisitor {
public:
    Result<> pool(const PoolFacts&) override { return {}; }
    Result<> begin_subtree(std::uint64_t) override { return {}; }
    Result<> end_subtree() override { return {}; }
    Result<> begin_volume(const VolumeFacts&) override { return {}; }
    Result<> end_volume() override { return {}; }
    Result<> subtree(std::uint64_t) override { return {}; }
    Result<> end() override { return {}; }
    Result<> runs(std::span<const MappingRun> runs) override {
        for (const MappingRun& run : runs) {
            data_end = std::max(data_end, run.data + run.length);
            time = std::max(time, run.time);
        }
        return {};
    }
    std::uint64_t data_end = 0;
    std::uint64_t time = 0;
};

class Planner {
public:
    Planner(BlockQueue& device, const PoolOverrides& known, const RepairWish& wish)
        : device_(device), known_(known), aim_(wish.aim) {
        if (wish.thin_ids) wanted_ids_ = hash_of_ids(*wish.thin_ids);
    }
    Result<RepairPlan> run();

private:
    template <class... Args>
    void note(fmt::format_string<Args...> text, Args&&... args) {
        plan_.notes.push_back(fmt::format(text, std::forward<Args>(args)...));
    }
    Result<> read_superblock();
    bool superblock_pair();
    bool contradicted() const;
    void one_of_superblock();
    bool better_than_superblock(const RootCandidate& volumes, const RootCandidate& details) const;
    auto rank(const RootCandidate& details, const RootCandidate& volumes) const;
    bool best_pair();
    bool best_pair(bool exact);
    void take(const RootCandidate& volumes, const RootCandidate* details, bool trusted);
    Result<> choose();
    const RootCandidate* details_for(const RootCandidate& volumes);
    Result<> pool_facts();
    Result<> block_size();
    void volumes();
    void lost_volume(const VolumeFacts& facts, std::uint64_t reached, MetadataBlock root);
    Result<> unknown_extent();

    BlockQueue& device_;
    const PoolOverrides& known_;
    RepairAim aim_;
    std::optional<std::uint64_t> wanted_ids_;
    RepairPlan plan_;
    std::optional<Superblock> superblock_;
    std::string uuid_;
    std::optional<RootCandidates> roots_;
    std::optional<VolumeTree> volume_tree_;
    std::optional<DetailsTree> details_tree_;
    bool details_trusted_ = true;  // their times belong to these mappings
};

Result<> Planner::read_superblock() {
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
    auto outcome = read_now(device_, Sector(0), bytes);
    if (outcome) {
        auto superblock = Superblock::decode(bytes);
        if (superblock) {
            superblock_ = *superblock;
            return {};
        }
        if (superblock.error().code == Errc::unsupported) return std::move(superblock).error();
        outcome = std::move(superblock).error();
    }
    note("{}: looking for the trees without it", outcome.error().text);
    return {};
}

// What the superblock points to; true if that will do.
bool Planner::superblock_pair() {
    volume_tree_ = volume_tree_at(*plan_.survey, superblock_->mapping_root);
    details_tree_ = details_tree_at(*plan_.survey, superblock_->details_root);
    if (volume_tree_ && !volume_tree_->whole) note("the tree of volumes is damaged");
    if (!volume_tree_)
        note("the tree of volumes at metadata block {} is lost", superblock_->mapping_root);
    if (details_tree_ && !details_tree_->whole) note("the tree of details is damaged");
    if (!details_tree_)
        note("the tree of details at metadata block {} is lost", superblock_->details_root);
    return volume_tree_ && details_tree_ && volume_tree_->whole && details_tree_->whole &&
           volume_tree_->entries.size() == details_tree_->entries.size() &&
           summary_of(*volume_tree_).ids == summary_of(*details_tree_).ids;
}

// Nodes that are sound, and yet not what the details, of the same volumes, say: the superblock is
// older than they.
bool Planner::contradicted() const {
    for (std::size_t i = 0; i < volume_tree_->entries.size(); ++i) {
        const VolumeTree::Entry& entry = volume_tree_->entries[i];
        if (plan_.survey->overtaken(entry.root)) return true;
        if (entry.below && entry.below->whole &&
            entry.below->mappings != details_tree_->entries[i].mapped_blocks)
            return true;
    }
    return false;
}

void Planner::take(const RootCandidate& volumes, const RootCandidate* details, bool trusted) {
    volume_tree_ = volume_tree_at(*plan_.survey, volumes.at);
    details_tree_.reset();
    if (details != nullptr) details_tree_ = details_tree_at(*plan_.survey, details->at);
    details_trusted_ = trusted;
    note("taken instead: the tree of volumes at metadata block {}, {}", volumes.at,
         details == nullptr ? "without details" : fmt::format("the details at {}", details->at));
}

auto Planner::rank(const RootCandidate& details, const RootCandidate& volumes) const {
    return std::make_tuple(volumes.ids == wanted_ids_, details.newest.n, details.time,
                           volumes.mappings, volumes.at.n, details.at.n);
}

// What the superblock points to, damaged or overtaken, is left only for what is newer by the clock
// or, pools growing as they do, has more mappings than were ever under this superblock.
bool Planner::better_than_superblock(const RootCandidate& volumes,
                                     const RootCandidate& details) const {
    if (!superblock_ || !volume_tree_ || !details_tree_ || aim_ == RepairAim::whole) return true;
    return details.newest >= superblock_->transaction_id || details.time > superblock_->time ||
           volumes.mappings > summary_of(*details_tree_).mappings;
}

// The newest pair that agrees: in full, or at least on the volumes' ids.
bool Planner::best_pair(bool exact) {
    std::multimap<std::uint64_t, const RootCandidate*> details;
    for (const RootCandidate& d : roots_->details) {
        if (d.volumes > 0) details.emplace(exact ? d.counts : d.ids, &d);
    }
    const RootCandidate* best_volumes = nullptr;
    const RootCandidate* best_details = nullptr;
    for (const RootCandidate& v : roots_->volumes) {
        if (exact && !v.whole) continue;
        const auto [begin, end] = details.equal_range(exact ? v.counts : v.ids);
        for (auto d = begin; d != end; ++d) {
            if (best_volumes != nullptr &&
                rank(*d->second, v) <= rank(*best_details, *best_volumes))
                continue;
            best_volumes = &v;
            best_details = d->second;
        }
    }
    if (best_volumes == nullptr || !better_than_superblock(*best_volumes, *best_details))
        return false;
    take(*best_volumes, best_details, exact);
    return true;
}

bool Planner::best_pair() { return best_pair(true) || best_pair(false); }

// Details of the same volumes; best if of as many mappings.
const RootCandidate* Planner::details_for(const RootCandidate& volumes) {
    const RootCandidate* best = nullptr;
    const auto value = [&](const RootCandidate& d) {
        return std::make_tuple(d.counts == volumes.counts, d.newest.n, d.time, d.at.n);
    };
    for (const RootCandidate& d : roots_->details) {
        if (d.ids == volumes.ids && (best == nullptr || value(d) > value(*best))) best = &d;
    }
    return best;
}

// One of the superblock's trees is there: what goes with it?
void Planner::one_of_superblock() {
    if (volume_tree_ && volume_tree_->whole) {
        const RootCandidate volumes = summary_of(*volume_tree_);
        const RootCandidate* details = details_for(volumes);
        if (details != nullptr) return take(volumes, details, false);
        details_trusted_ = false;
        return;
    }
    if (!details_tree_ || !details_tree_->whole) return;
    const RootCandidate details = summary_of(*details_tree_);
    const RootCandidate* best = nullptr;
    const auto value = [&](const RootCandidate& v) {
        return std::make_tuple(v.counts == details.counts, v.mappings, v.at.n);
    };
    for (const RootCandidate& v : roots_->volumes) {
        if (v.ids == details.ids && (best == nullptr || value(v) > value(*best))) best = &v;
    }
    if (best != nullptr) take(*best, &details, true);
}

Result<> Planner::choose() {
    const bool agreed = superblock_ && superblock_pair();
    const bool overtaken = agreed && contradicted();
    const bool wanted_whole = aim_ == RepairAim::whole;
    if (agreed && !overtaken && (!wanted_whole || summary_of(*volume_tree_).whole)) return {};
    if (overtaken) note("the superblock is older than what it points to");
    roots_ = find_roots(*plan_.survey);
    if (wanted_whole) {
        if (best_pair(true)) return {};
        note("no commit is there in whole: the newest is taken");
    }
    if (agreed) {
        if (overtaken) best_pair();
        return {};
    }
    if (superblock_) one_of_superblock();
    if (volume_tree_ && volume_tree_->whole) return {};
    if (best_pair()) return {};
    if (volume_tree_) {  // damaged, and nothing better
        details_trusted_ = false;
        return {};
    }
    const RootCandidate* best = nullptr;
    const auto value = [](const RootCandidate& v) {
        return std::make_tuple(v.mappings > 0, v.volumes, v.mappings, v.at.n);
    };
    for (const RootCandidate& v : roots_->volumes) {
        if (best == nullptr || value(v) > value(*best)) best = &v;
    }
    if (best == nullptr || (best->mappings == 0 && !superblock_))
        return Error(Errc::corrupt, "no tree of volumes is left: there is nothing to repair");
    take(*best, nullptr, false);
    return {};
}

void Planner::lost_volume(const VolumeFacts& facts, std::uint64_t reached, MetadataBlock root) {
    std::vector<KeyRange> ranges;
    plan_.survey->lost_below(root, {}, ranges_named, ranges);
    std::string text;
    for (std::size_t i = 0; i < std::min(ranges.size(), ranges_named); ++i) {
        text += text.empty() ? ": those within virtual blocks " : ", ";
        text += ranges[i].last == ~0ULL ? fmt::format("{} and up", ranges[i].first)
                                        : fmt::format("{} to {}", ranges[i].first, ranges[i].last);
    }
    if (ranges.size() > ranges_named) text += ", and more";
    if (reached < facts.mapped_blocks)
        note("thin id {}: {} of {} mappings are lost{}", facts.id, facts.mapped_blocks - reached,
             facts.mapped_blocks, text);
    else if (reached > facts.mapped_blocks)
        note(
            "thin id {}: {} mappings are found where its details have {}: some may be another "
            "volume's",
            facts.id, reached, facts.mapped_blocks);
    else if (!ranges.empty()) note("thin id {}: mappings are lost{}", facts.id, text);
}

// Each volume with its details, or the safest there are.
void Planner::volumes() {
    std::map<std::uint64_t, VolumeFacts> details;
    if (details_tree_)
        for (const VolumeFacts& facts : details_tree_->entries) details[facts.id] = facts;
    const std::uint64_t all_shared = plan_.contents.pool.time;
    for (const VolumeTree::Entry& entry : volume_tree_->entries) {
        const std::uint64_t reached = entry.below ? entry.below->mappings : 0;
        VolumeFacts facts{.id = entry.id};
        const auto found = details.find(entry.id);
        if (found != details.end()) facts = found->second;
        else note("thin id {}: its details are lost", entry.id);
        if (found == details.end() || !details_trusted_) facts.snapshotted_time = all_shared;
        lost_volume(facts, reached, entry.root);
        plan_.contents.volumes.push_back({facts, entry.root});
        if (found != details.end()) details.erase(found);
    }
    for (const auto& [id, facts] : details)
        note("thin id {}: the volume is lost, with {} mappings", id, facts.mapped_blocks);
}

Result<> Planner::block_size() {
    PoolFacts& pool = plan_.contents.pool;
    if (known_.data_block_size) {
        pool.data_block_size = *known_.data_block_size;
        return check_data_block_size(pool.data_block_size);
    }
    for (const MetadataBlock at : plan_.survey->superblock_copies()) {
        alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
        if (!read_now(device_, to_sector(at), bytes)) continue;
        DiskSuperblock disk;
        std::memcpy(&disk, bytes.data(), sizeof disk);
        const Sectors size(disk.data_block_size.get());
        if (!check_data_block_size(size)) continue;
        pool.data_block_size = size;
        note("data block size of {} sectors: from the metadata snapshot at metadata block {}", size,
             at);
        return {};
    }
    return Error(Errc::invalid_argument,
                 "the data block size is known from the superblock only, and that is lost: give "
                 "--data-block-size, in sectors (the pool's chunk size: 128 for 64 KiB)");
}

// Without a superblock: as much as the mappings say. A pool's data device may always turn out to be
// larger; a clock that is ahead of all mappings is safe.
Result<> Planner::unknown_extent() {
    PoolFacts& pool = plan_.contents.pool;
    MetadataContents contents = plan_.contents;
    contents.pool.data_blocks = DataBlocks(max_data_block + 1);
    for (const VolumeTree::Entry& entry : volume_tree_->entries)
        contents.volumes.push_back({{.id = entry.id}, entry.root});
    Reach extent;
    TRY(walk_contents(device_, contents, {.subtrees = true, .judge = plan_.survey.get()}, extent));
    const RootCandidate details = details_tree_ ? summary_of(*details_tree_) : RootCandidate{};
    const std::uint64_t safe = std::max(details.time, extent.time) + (details_trusted_ ? 0 : 1);
    pool.time = std::min<std::uint64_t>(std::max(pool.time, safe), SnapTime::max);
    if (!superblock_) {
        pool.data_blocks = DataBlocks(extent.data_end);
        if (!known_.data_blocks)
            note(
                "{} data blocks, up to the highest that is mapped; --nr-data-blocks if there are "
                "more",
                pool.data_blocks);
    }
    if (details_tree_ && details.newest >= pool.transaction_id && !known_.transaction_id) {
        pool.transaction_id = details.newest.next();
        note(
            "transaction id {}, one above that of the newest volume; --transaction-id if it is "
            "another",
            pool.transaction_id.n);
    }
    if (!details_tree_ && !superblock_ && !known_.transaction_id)
        return Error(Errc::invalid_argument,
                     "superblock and details are lost, and with them the transaction id: give "
                     "--transaction-id");
    return {};
}

Result<> Planner::pool_facts() {
    PoolFacts& pool = plan_.contents.pool;
    plan_.contents.blocks = plan_.survey->size();
    const bool all_superblock = superblock_ && !roots_;
    if (superblock_) {
        pool.time = superblock_->time;
        pool.transaction_id = superblock_->transaction_id;
        pool.data_block_size = superblock_->data_block_size;
        pool.data_blocks = DataBlocks(superblock_->data_space_map.blocks);
    } else {
        TRY(block_size());
    }
    if (!all_superblock) TRY(unknown_extent());
    pool.data_block_size = known_.data_block_size.value_or(pool.data_block_size);
    pool.data_blocks = known_.data_blocks.value_or(pool.data_blocks);
    pool.transaction_id = known_.transaction_id.value_or(pool.transaction_id);
    return {};
}

Result<RepairPlan> Planner::run() {
    plan_.survey = TRY(NodeSurvey::of(device_));
    TRY(read_superblock());
    TRY(choose());
    plan_.superblock_used = superblock_.has_value();
    TRY(pool_facts());
    volumes();
    return std::move(plan_);
}

}  // namespace

Result<RepairPlan> plan_repair(BlockQueue& device, const PoolOverrides& known,
                               const RepairWish& wish) {
    return Planner(device, known, wish).run();
}

}  // namespace thinvol
