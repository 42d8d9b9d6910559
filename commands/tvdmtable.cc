#include "commands/invocation.h"
#include "commands/lookup.h"
#include "commands/table.h"
#include "libvm/kernel_tables.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"map", 'm', Value::device_map,
     "The block device that stands for a physical volume which is a file.", true},
    {"concise", 0, Value::none, "One line, for dmsetup create --concise."},
};
constexpr OperandSpec operands[] = {
    {"VG/Pool", Value::pool, "Pool, not active."},
};
constexpr std::string_view examples[] = {"tvdmtable vg0/pool0",
                                         "tvdmtable --concise --map pv.img=/dev/loop0 vg0/pool0"};

Result<std::map<std::string, std::string>> devices_of(Invocation& call, Session& session,
                                                      const GroupRow& group) {
    std::map<std::string, std::string> devices;
    for (const std::string& pair : call.values("map")) {
        const std::size_t equals = pair.rfind('=');
        const PvRow pv = TRY(find_pv(session, group, pair.substr(0, equals)));
        devices[pv.path] = pair.substr(equals + 1);
    }
    return devices;
}

// As `dmsetup table' prints them: the name again before each line.
std::string listed(const std::vector<KernelTable>& tables) {
    std::string text;
    for (const KernelTable& table : tables) {
        for (const std::string& line : table.lines)
            text += fmt::format("{}: {}\n", table.name, line);
    }
    return text;
}

std::string concise(const std::vector<KernelTable>& tables) {
    std::string text;
    for (const KernelTable& table : tables) {
        text += fmt::format("{}{},,,{}", text.empty() ? "" : ";", table.name,
                            table.read_only ? "ro" : "rw");
        for (const std::string& line : table.lines) text += "," + line;
    }
    return text + "\n";
}

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    const FoundPool found = TRY_OR_FAIL(call, find_pool(session, call.operands().front()));
    const auto devices = TRY_OR_FAIL(call, devices_of(call, session, found.group));
    const auto tables = TRY_OR_FAIL(call, kernel_tables(session, found.group, found.pool, devices));
    call.write(call.has("concise") ? concise(tables) : listed(tables));
    if (found.pool.lent_to == LentTo::nobody)
        call.warn(
            fmt::format("{0} is not lent: nothing keeps Thinvol from opening it while the "
                        "kernel has it; tvchange --lend kernel {0} does.",
                        found.full_name()));
    for (const KernelTable& table : tables) {
        if (table.read_only && !call.has("concise"))
            call.warn(fmt::format("{} is read-only: dmsetup create --readonly.", table.name));
    }
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvdmtable{
    .name = "tvdmtable",
    .summary = "Print the device-mapper tables that activate a pool in the kernel.",
    .options = options,
    .operands = operands,
    .examples = examples,
    .run = run,
    .test_mode = TestMode::harmless};
static_assert(well_formed(tvdmtable));

}  // namespace thinvol
