#include <fmt/format.h>
#include <unistd.h>

#include "commands/interruption.h"
#include "commands/lookup.h"
#include "commands/progress.h"
#include "commands/table.h"
#include "libvm/sizes.h"
#include "libvm/volume_export.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"format", 'f', Value::image_format, "Of the image; raw unless given."},
    {"force", 0, Value::none, "Replace a file that is there without asking."},
    {"no-freeze", 0, Value::none, "Do not hold an active volume still, as tvsnapshot does."},
};
constexpr OperandSpec operands[] = {
    {"VG/Thin", Value::thin, "The volume, active or not."},
    {"File|-", Value::file, "The image; - is standard output."},
};
constexpr std::string_view examples[] = {"tvexport vg0/root root.raw",
                                         "tvexport --format qcow2 vg0/monday monday.qcow2",
                                         "tvexport vg0/root - | zstd > root.zst"};

Result<std::unique_ptr<ImageTarget>> open_target(Invocation& call, const FoundThin& from) {
    ImageTarget::Wanted wanted{call.operands()[1], call.value_or("format", "raw"), from.thin.size,
                               call.has("force")};
    auto target = ImageTarget::open(wanted);
    if (target || target.error().code != Errc::exists) return target;
    if (!call.confirm(fmt::format("{}. Replace it?", target.error().text)))
        return Error(Errc::exists, fmt::format("{} not replaced.", wanted.path));
    wanted.replace = true;
    return ImageTarget::open(wanted);
}

Result<> export_one(Invocation& call) {
    const Interruption interruption;
    Session session = TRY(call.session());
    const FoundThin from = TRY(find_thin(session, call.operands()[0]));
    const std::string& path = call.operands()[1];
    auto target = TRY(open_target(call, from));
    Progress progress(call);
    Bytes shown{};
    const ExportHooks hooks{Interruption::came,
                            [&](Bytes done) {
                                progress.add((done - std::exchange(shown, done)).n >> 10,
                                             from.thin.size.n >> 10);
                            },
                            !call.has("no-freeze")};
    const ExportResult done = TRY(
        within(from.full_name(), export_volume(session, from.group, from.thin, *target, hooks)));
    for (const auto& warning : done.warnings) call.warn(warning);
    if (path != "-")  // standard output is the image
        call.say("Logical volume \"{}\" exported to {}: {}, {} of them data.", from.full_name(),
                 path, format_size_long(from.thin.size), format_size_long(done.data));
    return {};
}

int run(Invocation& call) {
    if (call.operands()[1] == "-" && call.value_or("format", "raw") != "raw")
        return call.usage("Standard output is raw; other formats need a file.");
    if (call.operands()[1] == "-" && ::isatty(STDOUT_FILENO) == 1)
        return call.usage("Standard output is a terminal; an image is for a file or a pipe.");
    TRY_OR_FAIL(call, export_one(call));
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvexport{.name = "tvexport",
                               .summary = "Export a thin volume as a disk image.",
                               .options = options,
                               .operands = operands,
                               .examples = examples,
                               .run = run};
static_assert(well_formed(tvexport));

}  // namespace thinvol
