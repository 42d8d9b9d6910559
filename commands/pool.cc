// `thinvol pool`: a pool on two bare devices, as dmsetup drives one.
#include <unistd.h>

#include <cstring>

#include "commands/invocation.h"
#include "commands/table.h"
#include "engine/kernel_status.h"
#include "libvm/bare_pool.h"
#include "libvm/bare_volume.h"
#include "libvm/pool_message.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"chunksize", 'c', Value::chunk_size, "create: unit of allocation; 64k unless given."},
    {"feature", 'f', Value::pool_feature, "A feature of the kernel's target.", true},
    {"lowwater", 0, Value::number, "Free data blocks at which to warn."},
    {"offset", 0, Value::size, "read, write, zero, discard: where in the volume; 0 unless given."},
    {"size", 'L', Value::size, "read, zero, discard: how much."},
    {"json", 0, Value::none, "status: as JSON."},
};
constexpr OperandSpec operands[] = {
    {"create|status|message|extend|read|write|zero|discard", Value::pool_action, "What to do."},
    {"Metadata", Value::any_device, "Metadata device."},
    {"Data", Value::any_device, "Data device."},
    {"Argument", Value::text, "message: its words. read, write, zero, discard, status: a thin id.",
     false, true},
};
constexpr std::string_view examples[] = {
    "thinvol pool create md.img data.img",
    "thinvol pool message md.img data.img create_thin 0",
    "thinvol pool write md.img data.img 0 --offset 1m < file",
    "thinvol pool status md.img data.img",
};

Result<PoolFeatures> features_wanted(const Invocation& call) {
    PoolFeatures features;
    for (const std::string& word : call.values("feature")) TRY(add_feature_word(features, word));
    features.low_water = DataBlocks(TRY(parse_number(call.value_or("lowwater", "0"))));
    return features;
}

Result<> show_status(Invocation& call, BarePool& bare, const PoolFeatures& asked,
                     std::span<const std::string> arguments) {
    Pool& pool = bare.pool();
    if (!arguments.empty()) {
        const ThinId id = TRY(parse_thin_id(arguments.front()));
        const auto use = TRY(pool.volume_use(id));
        call.write(thin_status_line(use, pool.data_block_size()) + "\n");
        return {};
    }
    PoolStatus status = pool.status();
    status.writes_wait_for_space = !asked.error_if_no_space;
    call.write(call.has("json") ? bare.status_json() + "\n"
                                : pool_status_line(status, pool.features()) + "\n");
    return {};
}

Result<> act(Invocation& call) {
    const std::string& action = call.operands()[0];
    const BareDevices devices{call.operands()[1], call.operands()[2]};
    const auto arguments = std::span(call.operands()).subspan(3);
    const PoolFeatures features = TRY(features_wanted(call));
    if (action == "create") {
        const Bytes block = TRY(parse_size(call.value_or("chunksize", "64k"), 'k')).size;
        TRY(BarePool::create(devices, to_sectors(block), features, call.has("yes")));
        return {};
    }
    BarePool bare = TRY(BarePool::open(devices, features));
    if (action == "status") return show_status(call, bare, features, arguments);
    if (action == "extend") return bare.grow();
    if (action == "message") return send_message(bare.pool(), TRY(parse_message(arguments)));
    const ThinId id = TRY(parse_thin_id(arguments.empty() ? "" : arguments.front()));
    const Bytes offset = TRY(parse_size(call.value_or("offset", "0"), 'b')).size;
    const Bytes length = TRY(parse_size(call.value_or("size", "0"), 'b')).size;
    const VolumeRange range{id, offset, length};
    if (action == "read") return read_volume(bare.pool(), range, STDOUT_FILENO);
    if (action == "write") return write_volume(bare.pool(), range, STDIN_FILENO);
    if (range.length == Bytes(0)) return Error(Errc::invalid_argument, "how much? give --size");
    return unmap_volume(bare.pool(), range,
                        action == "zero" ? IoKind::write_zeroes : IoKind::discard);
}

int run(Invocation& call) {
    auto done = act(call);
    if (done) return exit_ok;
    const char* kernels = std::strerror(kernel_errno(done.error().code));
    return call.fail(
        std::move(done).error().prefixed(fmt::format("{}: {}", call.operands().front(), kernels)));
}

}  // namespace

constexpr CommandSpec pool_command{.name = "pool",
                                   .summary = "Drive a thin pool on bare devices, as dmsetup does.",
                                   .options = options,
                                   .operands = operands,
                                   .examples = examples,
                                   .run = run};
static_assert(well_formed(pool_command));

}  // namespace thinvol
