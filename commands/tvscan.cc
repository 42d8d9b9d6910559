#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/report.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

int run(Invocation& call) {
    ReportRequest request;
    request.fields = {"lv_active", "lv_full_name", "lv_size"};
    for (const auto& name : default_sort(ReportKind::volumes))
        request.sort.emplace_back(name, false);
    const Report report = TRY_OR_FAIL(call, make_report(call.environment(), request));
    for (const auto& row : report.table.rows) {
        const bool active = !std::holds_alternative<std::monostate>(row[0]);
        call.write(fmt::format("  {:<17} '{}' [{}] inherit\n", active ? "ACTIVE" : "inactive",
                               std::get<std::string>(row[1]),
                               format_size_long(std::get<Bytes>(row[2]))));
    }
    for (const Error& error : report.errors) call.fail(error);
    return report.errors.empty() ? exit_ok : exit_failed;
}

}  // namespace

constexpr CommandSpec tvscan{.name = "tvscan",
                             .summary = "List all thin volumes and pools.",
                             .run = run,
                             .test_mode = TestMode::harmless};
static_assert(well_formed(tvscan));

}  // namespace thinvol
