#include <fmt/format.h>

#include "commands/interruption.h"
#include "commands/lookup.h"
#include "commands/progress.h"
#include "commands/table.h"
#include "commands/warnings.h"
#include "libvm/sizes.h"
#include "libvm/volume_import.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"thinpool", 'T', Value::pool, "Make the volume, in that pool."},
    {"virtualsize", 'V', Value::size, "Its size; that of the image unless given."},
    {"format", 'f', Value::image_format, "Of the image; raw unless given."},
    {"allow-backing", 0, Value::none,
     "Let the image name other files, such as its backing file: they are read too."},
};
constexpr OperandSpec operands[] = {
    {"File|-", Value::file, "The image; - is standard input."},
    {"VG/Thin", Value::thin, "The volume that gets its content; not active."},
};
constexpr std::string_view examples[] = {
    "tvimport disk.raw vg0/root -T vg0/pool0",
    "tvimport --format qcow2 disk.qcow2 vg0/root -T vg0/pool0 -V 20g",
    "zstdcat disk.zst | tvimport - vg0/root -T vg0/pool0 -V 10g", "tvimport -y disk.raw vg0/root"};

Result<std::unique_ptr<ImageSource>> open_source(const Invocation& call) {
    const std::string& path = call.operands()[0];
    const std::string format = call.value_or("format", "raw");
    if (format == "raw") return ImageSource::open_raw(path, Interruption::came);
    return ImageSource::of(TRY(QemuImage::open(path, format, call.has("allow-backing"))));
}

// What a guest has written to its disk may look like anything: so it is asked, not guessed.
Result<> check_raw(const Invocation& call, std::span<const std::byte> first) {
    const std::string_view format = image_format_of(first);
    if (call.has("format") || format.empty()) return {};
    return Error(Errc::invalid_argument,
                 fmt::format("{} looks like a {} image: give --format {}, or --format raw to take "
                             "it as it is",
                             call.operands()[0], format, format));
}

Result<Bytes> wanted_size(const Invocation& call, const ImageSource& source) {
    if (call.has("virtualsize")) {
        const SizeArgument size = TRY(parse_size(call.value("virtualsize"), 'm'));
        if (size.sign != Sign::none)
            return Error(Errc::invalid_argument, "Size may not have a sign.");
        return size.size;
    }
    if (!source.size())
        return Error(Errc::invalid_argument,
                     fmt::format("the size of what {} brings is not known before its end: give -V",
                                 call.operands()[0]));
    if (*source.size() == Bytes(0))
        return Error(Errc::invalid_argument, fmt::format("{} is empty", call.operands()[0]));
    return *source.size();
}

Result<ImportTarget> new_target(const Invocation& call, Session& session, const Reference& to,
                                const ImageSource& source) {
    std::string pool_name = call.value("thinpool");
    if (pool_name.find('/') == std::string::npos) pool_name.insert(0, to.group + "/");
    const FoundPool found = TRY(find_pool(session, pool_name));
    if (found.group.name != to.group)
        return Error(Errc::invalid_argument, fmt::format("Pool {} is not in volume group {}.",
                                                         found.full_name(), to.group));
    TRY(session.catalog.check_new_name(found.group, to.volume));
    const Bytes size = TRY(volume_size(found.group, found.pool, TRY(wanted_size(call, source))));
    return ImportTarget{found.group, found.pool, to.volume, size, {}};
}

Result<ImportTarget> present_target(Invocation& call, Session& session) {
    auto found = find_thin(session, call.operands()[1]);
    if (!found && found.error().code == Errc::not_found)
        return Error(Errc::not_found, found.error().text + " (-T VG/Pool makes it)");
    const FoundThin to = TRY(std::move(found));
    const PoolRow pool = TRY(session.catalog.pool(to.thin.pool_id));
    TRY(check_replaceable(session, to.group, pool, to.thin));
    if (!call.confirm(fmt::format("Replace the content of {} by that of {}?", to.full_name(),
                                  call.operands()[0])))
        return Error(Errc::busy, fmt::format("Logical volume {} not changed.", to.full_name()));
    return ImportTarget{to.group, pool, to.thin.lv.name, to.thin.size, to.thin};
}

Result<> import(Invocation& call) {
    const Interruption interruption;
    Session session = TRY(call.session());
    const Reference to = TRY(parse_volume_reference(call.operands()[1]));
    TRY(session.catalog.find_group(to.group));
    auto source = TRY(open_source(call));
    const ImportTarget target = call.has("thinpool") ? TRY(new_target(call, session, to, *source))
                                                     : TRY(present_target(call, session));
    const std::string name = target.group.name + "/" + target.name;
    Progress progress(call);
    Bytes shown{};
    const Bytes all = source->size().value_or(target.size);
    const ImportHooks hooks{
        Interruption::came,
        [&](Bytes done) { progress.add((done - std::exchange(shown, done)).n >> 10, all.n >> 10); },
        [&](std::span<const std::byte> first) { return check_raw(call, first); }};
    const ImportResult done = TRY(within(name, import_volume(session, target, *source, hooks)));
    for (const auto& warning : done.warnings) call.warn(warning);
    if (!target.replaced && target.size != TRY(wanted_size(call, *source)))
        call.say("Rounding up size to full physical extent {}", format_size_long(target.size));
    if (const auto config = config_for_warnings(call, session, target.pool);
        config && !target.replaced)
        warn_of_overcommitment(call, session, *config, target.group, target.pool);
    if (done.waits)
        call.warn(
            fmt::format("{} is in use; it gets the new content when it is deactivated", name));
    call.say("Logical volume \"{}\" imported: {} read, {} written.", name,
             format_size_long(done.counts.read), format_size_long(done.counts.written));
    return {};
}

int run(Invocation& call) {
    if (call.has("virtualsize") && !call.has("thinpool"))
        return call.usage("-V is the size of a new volume: give its pool, -T.");
    if (call.operands()[0] == "-" && call.value_or("format", "raw") != "raw")
        return call.usage("Standard input is raw; other formats need a file.");
    TRY_OR_FAIL(call, import(call));
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvimport{.name = "tvimport",
                               .summary = "Import a disk image as a thin volume.",
                               .options = options,
                               .operands = operands,
                               .examples = examples,
                               .run = run};
static_assert(well_formed(tvimport));

}  // namespace thinvol
