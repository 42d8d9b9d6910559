#include "commands/lookup.h"
#include "commands/metadata_source.h"
#include "commands/progress.h"
#include "commands/table.h"
#include "commands/worker_threads.h"
#include "engine/check.h"
#include "engine/thin_metadata.h"
#include "libvm/pool_engine.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"metadata-dev", 0, Value::any_device, "A bare metadata device, instead of a pool."},
    {"data-dev", 0, Value::any_device, "The data device that goes with it."},
};
constexpr OperandSpec operands[] = {{"VG/Pool", Value::pool, "Pool, not active."}};
constexpr std::string_view examples[] = {"tvtrim vg0/pool0",
                                         "tvtrim --metadata-dev md.img --data-dev data.img"};

Result<> discard(BlockQueue& data, Sector at, Sectors length) {
    Request request;
    request.op = Op::discard;
    request.at = at;
    request.length = length;
    request.done = [](Request&) {};
    if (!data.submit(request)) {
        while (data.in_flight() > 0) data.poll(true);
    }
    return std::move(request.outcome);
}

// Nothing is discarded on the word of counts that are wrong.
Result<> check_counts(BlockQueue& metadata) {
    WorkerThreads workers;
    const CheckReport report =
        TRY(check_metadata(metadata, {CheckOptions::Scope::everything, &workers}));
    if (report.damages + report.wrong_counts == 0) return {};
    return Error(Errc::corrupt, fmt::format("{}; nothing was discarded, see tvcheck",
                                            report.findings.front().text));
}

// The number of blocks that were discarded.
Result<DataBlocks> trim(const Invocation& call, BlockQueue& metadata, BlockQueue& data) {
    TRY(check_counts(metadata));
    const Superblock sb = TRY(Superblock::read(metadata));
    if (data.size().n / sb.data_block_size.n < sb.data_space_map.blocks)
        return Error(Errc::invalid_argument,
                     fmt::format("the data device has {} sectors, too few for {} blocks of {}",
                                 data.size(), sb.data_space_map.blocks, sb.data_block_size));
    BlockCache cache(metadata, MetadataBlocks(sb.metadata_space_map.blocks), 1024);
    TransactionManager tm(cache, MetadataSpaceMap::empty(MetadataBlocks(1)), CommitNumber(0));
    DataSpaceMap map(tm);
    TRY(map.load(sb.data_space_map));
    Progress progress(call);
    DataBlocks discarded{};
    std::uint64_t free = 0;  // blocks before b
    for (std::uint64_t b = 0; b <= map.size().n; ++b) {
        if (b < map.size().n && TRY(map.count_up_to_three(DataBlock(b))) == 0) {
            ++free;
            continue;
        }
        if (free > 0) {
            TRY(discard(data, Sector((b - free) * sb.data_block_size.n),
                        Sectors(free * sb.data_block_size.n)));
            discarded += DataBlocks(free);
            progress.add(free, map.size().n);
            cache.trim();
        }
        free = 0;
    }
    return discarded;
}

Result<DataBlocks> trim_pool(const Invocation& call) {
    Session session = TRY(call.session());
    const FoundPool found = TRY(find_pool(session, call.operands().front()));
    auto pool = LocalPool::open(session, found.group, found.pool);
    if (!pool && pool.error().code == Errc::busy)
        return Error(Errc::busy, fmt::format("{} is active; deactivate it: tvchange -an {}",
                                             found.full_name(), found.full_name()));
    if (!pool) return std::move(pool).error();
    return within(found.full_name(),
                  trim(call, (*pool)->devices().metadata(), (*pool)->devices().data()));
}

Result<DataBlocks> trim_devices(const Invocation& call) {
    MetadataSource metadata =
        TRY(open_metadata_device(call.value("metadata-dev"), MetadataAccess::read));
    MetadataSource data = TRY(open_metadata_device(call.value("data-dev"), MetadataAccess::change));
    return within(metadata.name, trim(call, metadata.device(), data.device()));
}

int run(Invocation& call) {
    if (call.has("metadata-dev") != call.has("data-dev"))
        return call.usage("--metadata-dev and --data-dev belong together.");
    const DataBlocks discarded =
        TRY_OR_FAIL(call, call.has("metadata-dev") ? trim_devices(call) : trim_pool(call));
    call.say("{} free data blocks discarded", discarded);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvtrim{.name = "tvtrim",
                             .summary = "Discard the free data blocks of a pool not in use.",
                             .options = options,
                             .operands = operands,
                             .examples = examples,
                             .instead_of_operands = "metadata-dev",
                             .run = run};
static_assert(well_formed(tvtrim));

}  // namespace thinvol
