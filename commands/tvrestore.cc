#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "commands/metadata_target.h"
#include "commands/table.h"
#include "engine/metadata_builder.h"
#include "engine/xml_reader.h"
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
constexpr std::string_view examples[] = {"tvrestore -i pool.xml -o /dev/vg/meta"};

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

int run(Invocation& call) {
    if (!call.has("input")) return call.usage("Please give the XML: --input.");
    if (!call.has("output")) return call.usage("Please give the device to write to: --output.");
    const std::string& input = call.value("input");
    const UniqueFd fd = TRY_OR_FAIL(call, open_input(input));
    MetadataSource target =
        TRY_OR_FAIL(call, open_metadata_target(call, call.value(target_option.name)));
    MetadataBuilder builder(target.device(), {.overrides = overrides_of(call)});
    // Two threads: one takes the XML apart, the other builds and writes.
    ThreadedVisitor visitor(builder);
    TRY_OR_FAIL(call, within(fmt::format("{} to {}", input, target.name),
                             read_xml([&](std::span<char> into) { return read_some(fd.get(), into); },
                                      visitor)));
    call.say("{}: {} volumes with {} mappings, {} metadata blocks of {} in use", target.name,
             builder.volumes(), builder.mappings(), builder.used(),
             to_metadata_blocks(target.device().size()));
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvrestore{.name = "tvrestore",
                                .summary = "Write a pool's metadata anew from a dump in XML.",
                                .options = options,
                                .examples = examples,
                                .run = run};
static_assert(well_formed(tvrestore));

}  // namespace thinvol
