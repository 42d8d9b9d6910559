#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "commands/lookup.h"
#include "commands/metadata_target.h"
#include "commands/progress.h"
#include "commands/table.h"
#include "engine/metadata_builder.h"
#include "engine/xml_reader.h"
#include "libvm/metadata_swap.h"
#include "libvm/threaded_visitor.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"input", 'i', Value::file, "XML to read, of either form; - is standard input."},
    target_option,
    transaction_id_option,
    data_block_size_option,
    data_blocks_option,
};
constexpr OperandSpec operands[] = {inactive_pool_operand};
constexpr std::string_view examples[] = {"tvrestore -i pool.xml -o md.img",
                                         "tvrestore -i pool.xml vg0/pool0"};

Result<UniqueFd> open_input(const std::string& path) {
    UniqueFd fd(path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                            : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return Error(Errc::io_error, fmt::format("{}: {}", path, std::strerror(errno)));
    return fd;
}

Result<std::size_t> read_some(int fd, std::span<char> into) {
    for (;;) {
        const ssize_t n = ::read(fd, into.data(), into.size());
        if (n >= 0) return static_cast<std::size_t>(n);
        if (errno != EINTR) return Error(Errc::io_error, std::strerror(errno));
    }
}

// Two threads: one takes the XML apart, the other builds and writes. Says what was written.
Result<std::string> restore(Invocation& call, const UniqueFd& fd, const std::string& name,
                            BlockQueue& device) {
    Progress progress(call);
    struct stat st{};
    const bool sized = ::fstat(fd.get(), &st) == 0 && S_ISREG(st.st_mode);
    const auto read = [&](std::span<char> into) -> Result<std::size_t> {
        const std::size_t n = TRY(read_some(fd.get(), into));
        if (sized) progress.add(n, static_cast<std::uint64_t>(st.st_size));
        return n;
    };
    MetadataBuilder builder(device, {.overrides = overrides_of(call)});
    ThreadedVisitor visitor(builder);
    TRY(within(fmt::format("{} to {}", call.value("input"), name), read_xml(read, visitor)));
    return fmt::format("{}: {} volumes with {} mappings, {} metadata blocks of {} in use", name,
                       builder.volumes(), builder.mappings(), builder.used(),
                       to_metadata_blocks(device.size()));
}

Result<std::string> restore_device(Invocation& call, const UniqueFd& fd) {
    MetadataSource target = TRY(open_metadata_target(call, call.value(target_option.name)));
    return restore(call, fd, target.name, target.device());
}

// Beside the metadata there are, which are exchanged when the new ones are whole.
Result<std::string> restore_pool(Invocation& call, const UniqueFd& fd) {
    Session session = TRY(call.session());
    const FoundPool found = TRY(find_pool(session, call.operands().front()));
    const std::string name = found.full_name();
    if (!call.confirm(fmt::format("Replace the metadata of {}?", name)))
        return Error(Errc::exists, fmt::format("{} has metadata; replace them with --yes", name));
    const auto swap = TRY(MetadataSwap::begin(session, found.group, found.pool));
    auto written = TRY(restore(call, fd, name, swap->fresh()));
    for (const std::string& warning : TRY(swap->commit())) call.warn(warning);
    return written;
}

int run(Invocation& call) {
    if (!call.has("input")) return call.usage("Please give the XML: --input.");
    const UniqueFd fd = TRY_OR_FAIL(call, open_input(call.value("input")));
    const std::string written = TRY_OR_FAIL(
        call, call.has(target_option.name) ? restore_device(call, fd) : restore_pool(call, fd));
    call.say("{}", written);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvrestore{.name = "tvrestore",
                                .summary = "Write a pool's metadata anew from a dump in XML.",
                                .options = options,
                                .operands = operands,
                                .examples = examples,
                                .instead_of_operands = target_option.name,
                                .run = run};
static_assert(well_formed(tvrestore));

}  // namespace thinvol
