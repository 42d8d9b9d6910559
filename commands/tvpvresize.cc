#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/pv_lifecycle.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"setphysicalvolumesize", 0, Value::size,
     "To use of the file or device; all of it unless given."},
};
constexpr OperandSpec operands[] = {
    {"PV", Value::physical_volume, "Physical volume whose file or device changed its size.", true,
     true},
};
constexpr std::string_view examples[] = {"truncate -s +1G pv0.img && tvpvresize pv0.img",
                                         "tvpvresize --setphysicalvolumesize 10g /dev/sdb"};

Result<> resize_one(Invocation& call, Session& session, const std::string& path) {
    std::optional<Sectors> size;
    if (call.has("setphysicalvolumesize")) {
        const SizeArgument given = TRY(parse_size(call.value("setphysicalvolumesize"), 'm'));
        if (given.sign != Sign::none)
            return Error(Errc::invalid_argument, "Size may not have a sign.");
        size = to_sectors(given.size);
    }
    const PvRow before = TRY(find_pv(session, path));
    const PvRow after = TRY(resize_pv(session, before, size));
    call.say("Physical volume \"{}\" changed: {} extents, {} before.", after.path, after.extents,
             before.extents);
    return {};
}

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    int status = exit_ok;
    for (const std::string& path : call.operands()) {
        if (auto resized = resize_one(call, session, path); !resized)
            status = call.fail(resized.error());
    }
    return status;
}

}  // namespace

constexpr CommandSpec tvpvresize{.name = "tvpvresize",
                                 .summary = "Use more or less of a file or device.",
                                 .options = options,
                                 .operands = operands,
                                 .examples = examples,
                                 .run = run};
static_assert(well_formed(tvpvresize));

}  // namespace thinvol
