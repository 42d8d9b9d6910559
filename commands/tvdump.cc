#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "commands/invocation.h"
#include "commands/metadata_source.h"
#include "commands/table.h"
#include "engine/dump.h"
#include "engine/metadata_walk.h"
#include "libvm/threaded_visitor.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"format", 'f', Value::dump_format,
     "xml (unless given), as thin_dump 0.9 writes it and all versions read it; xml-shared, with "
     "what volumes share once, as 1.x does; raw, an image of the metadata device."},
    {"output", 'o', Value::file, "File to write; raw needs one."},
    device_option,
};
constexpr OperandSpec operands[] = {pool_operand};
constexpr std::string_view examples[] = {
    "tvdump vg0/pool0 > pool.xml", "tvdump --format raw -o md.img vg0/pool0 && thin_check md.img"};

Error system_error(const std::string& path) {
    return {Errc::io_error, fmt::format("{}: {}", path, std::strerror(errno))};
}

Result<UniqueFd> create_file(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (!fd) return system_error(path);
    return fd;
}

Result<> write_all(int fd, const std::string& path, std::span<const std::byte> bytes,
                   std::optional<std::uint64_t> at) {
    while (!bytes.empty()) {
        const ssize_t n = at ? ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(*at))
                             : ::write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_error(path);
        bytes = bytes.subspan(static_cast<std::size_t>(n));
        if (at) *at += static_cast<std::uint64_t>(n);
    }
    return {};
}

// A sparse file as large as the metadata device, with the blocks in use.
Result<> write_raw(BlockQueue& device, const std::string& path) {
    const UniqueFd fd = TRY(create_file(path));
    if (::ftruncate(fd.get(), static_cast<off_t>(to_bytes(device.size()).n)) != 0)
        return system_error(path);
    TRY(dump_raw(device, [&](MetadataBlock b, std::span<const std::byte> bytes) {
        return write_all(fd.get(), path, bytes, b.n * metadata_block_bytes);
    }));
    return {};
}

// Three steps, on as many threads: read, format, write.
Result<> write_xml(Invocation& call, BlockQueue& device) {
    const bool to_file = call.has("output");
    const UniqueFd fd = to_file ? TRY(create_file(call.value("output"))) : UniqueFd();
    const std::string path = to_file ? call.value("output") : "standard output";
    ThreadedSink sink([&](std::string_view text) {
        return write_all(to_file ? fd.get() : STDOUT_FILENO, path, std::as_bytes(std::span(text)),
                         std::nullopt);
    });
    XmlWriter writer([&](std::string_view text) { return sink.write(text); });
    ThreadedVisitor visitor(writer);
    const bool shared = call.value_or("format", "xml") == "xml-shared";
    TRY(walk_metadata(device, {.subtrees = shared}, visitor));
    return sink.finish();
}

int run(Invocation& call) {
    const bool raw = call.value_or("format", "xml") == "raw";
    if (raw && !call.has("output")) return call.usage("--format raw needs a file: --output.");
    MetadataSource source = TRY_OR_FAIL(call, open_metadata(call));
    TRY_OR_FAIL(call, within(source.name, raw ? write_raw(source.device(), call.value("output"))
                                              : write_xml(call, source.device())));
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvdump{.name = "tvdump",
                             .summary = "Write out a pool's metadata as they are durable.",
                             .options = options,
                             .operands = operands,
                             .examples = examples,
                             .instead_of_operands = device_option.name,
                             .run = run};
static_assert(well_formed(tvdump));

}  // namespace thinvol
