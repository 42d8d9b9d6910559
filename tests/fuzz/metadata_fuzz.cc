// Goal: S24, S40: metadata that lie, with checksums that are right, end in findings and errors:
//       whatever reads, repairs or opens them stays in bounds, in time and in memory; what the
//       check finds nothing wrong with works; what a repair makes is sound.
// Method: damaged_metadata; each tool on the same image, which one by the input's first byte.
#include "engine/count_repair.h"
#include "engine/delta.h"
#include "engine/dump.h"
#include "engine/exclusive.h"
#include "engine/metadata_builder.h"
#include "engine/metadata_snapshot.h"
#include "engine/repair.h"
#include "engine/reverse_map.h"
#include "engine/xml_writer.h"
#include "tests/fuzz/damaged_metadata.h"

namespace thinvol {
namespace {

constexpr MetadataOptions small{64, Bytes(1 << 16)};

std::string first_finding(const CheckReport& report) {
    return report.findings.empty() ? "" : report.findings.front().text;
}

Result<> write_nothing(std::string_view) { return {}; }

Result<> dump_xml(BlockQueue& device, bool subtrees) {
    XmlWriter writer(write_nothing);
    return walk_metadata(device, {.subtrees = subtrees}, writer);
}

// The blocks in use, copied to an empty device, are the same pool.
Result<> dump_blocks(BlockQueue& device) {
    MemoryQueue copy(device.size());
    TRY(dump_raw(device, [&](MetadataBlock at, std::span<const std::byte> bytes) {
        return write_now(copy, to_sector(at), bytes);
    }));
    return {};
}

Result<> ask_tools(BlockQueue& device) {
    TRY(reverse_map(device, std::array{DataRegion{DataBlock(0), DataBlock(5000)}}));
    auto counter = TRY(ExclusiveCounter::open(device));
    for (const ListedVolume& v : counter->volumes()) {
        TRY(counter->freed_with(std::array{v.id}));
        TRY(counter->highest_mapped(v));
    }
    if (counter->volumes().size() < 2) return {};
    return compare_volumes(device, counter->superblock(), counter->volumes()[0].root,
                           counter->volumes()[1].root,
                           [](const DeltaRun&) -> Result<> { return {}; });
}

// What the counts say is put right, and then there is nothing left to say.
void repair_the_counts(BlockQueue& device, const CheckReport& report) {
    if (report.damages > 0 || report.clean()) return;
    if (!repair_counts(device, report)) return;  // no room for it, say
    const CheckReport after = must(check_metadata(device));
    demand(after.clean(), ("counts put right, and yet: " + first_finding(after)).c_str());
}

void repair(BlockQueue& device, RepairAim aim) {
    PoolOverrides known;
    known.data_block_size = data_block_min;
    known.data_blocks = DamagedMetadata::data_blocks;
    auto plan = plan_repair(device, known, {aim, {}});
    if (!plan) return;
    MemoryQueue fresh(device.size() * 4);
    MetadataBuilder builder(fresh, {.count_mapped = true});
    if (!walk_contents(device, plan->contents, {.subtrees = true, .judge = plan->survey.get()},
                       builder))
        return;
    const CheckReport report = must(check_metadata(fresh));
    demand(report.clean(), ("repaired, and yet: " + first_finding(report)).c_str());
}

Result<> commit(ThinMetadata& md, BlockQueue& device) {
    if (!md.changed()) return {};
    const SealedCommit sealed = TRY(md.seal());
    for (Frame* frame : sealed.frames) TRY(write_now(device, to_sector(frame->at), frame->block()));
    TRY(write_now(device, Sector(0), sealed.superblock));
    for (const DataBlock b : md.settle(sealed)) md.hand_back(b);
    md.trim();
    return {};
}

// After those a change leaves an object that may only be destroyed; no sound metadata give them.
bool ends(const Result<>& outcome) {
    return !outcome &&
           (outcome.error().code == Errc::corrupt || outcome.error().code == Errc::io_error);
}

Result<> use_volume(ThinMetadata& md, ThinId id) {
    ThinDevice* volume = TRY(md.device(id));
    TRY(md.highest_mapped(*volume));
    for (const std::uint64_t at : {0UL, 7UL, 299UL, 300UL, 1UL << 40}) {
        TRY(md.lookup(*volume, VirtualBlock(at)));
        const auto block = md.reserve();
        if (!block) continue;
        auto outcome = md.insert(*volume, VirtualBlock(at), *block);
        if (ends(outcome)) return outcome;
        if (!outcome) md.unreserve(*block);
    }
    TRY(md.unmap(*volume, VirtualBlock(100), VirtualBlock(250), 1000));
    return {};
}

// A pool that is opened and used as it is; how far that goes.
Result<> use(BlockQueue& device) {
    auto md = TRY(ThinMetadata::open(device, small));
    const auto ids = TRY(md->ids());
    std::uint32_t seen = 0;
    for (const ThinId id : ids) {
        if (++seen > 3) break;
        TRY(use_volume(*md, id));
    }
    if (!ids.empty()) {
        TRY(md->create_snapshot(ThinId::checked(77), ids.front()));
        TRY(commit(*md, device));
        TRY(md->room_for_removing(ids.back()));
        TRY(md->remove(ids.back()));
    }
    TRY(commit(*md, device));
    if (md->superblock().held_root != MetadataBlock(0)) TRY(md->release_metadata_snapshot());
    return commit(*md, device);
}

void run(MemoryQueue& device, unsigned tools, RepairAim aim) {
    const auto checked = check_metadata(device);
    const bool clean = checked && checked->clean();
    const auto judge = [&](const Result<>& outcome, const char* what) {
        if (!clean || !ends(outcome)) return;
        demand(false, (std::string(what) + ": " + outcome.error().text).c_str());
    };
    if ((tools & 1) != 0) {
        judge(dump_xml(device, false), "dump");
        judge(dump_xml(device, true), "dump with subtrees");
        judge(dump_blocks(device), "raw dump");
    }
    if ((tools & 2) != 0) judge(ask_tools(device), "tools");
    if ((tools & 4) != 0) {
        repair(device, aim);
    }
    if ((tools & 8) != 0) {
        if (const auto held = MetadataSnapshotQueue::open(device))
            ignore(dump_xml(**held, true), "its trees may lie");
        CheckOptions options;
        options.scope = CheckOptions::Scope::metadata_snapshot;
        ignore(check_metadata(device, options), "a finding, or an error");
    }
    if ((tools & 16) != 0 && checked) repair_the_counts(device, *checked);
    if ((tools & 32) != 0) {
        judge(use(device), "use");
        const auto after = check_metadata(device);
        demand(!clean || (after && after->clean()), "sound metadata, used, and no longer sound");
    }
}

}  // namespace
}  // namespace thinvol

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t n) {
    using namespace thinvol;
    FuzzInput input(data, n);
    const std::uint8_t which = input.byte();
    const unsigned tools = which == 255 ? ~0U : 1U << which % 6;
    MemoryQueue device = DamagedMetadata::make(input);
    run(device, tools, which < 128 ? RepairAim::newest : RepairAim::whole);
    return 0;
}
