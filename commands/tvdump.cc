#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "commands/invocation.h"
#include "commands/metadata_source.h"
#include "commands/table.h"
#include "engine/dump.h"
#include "engine/metadata_walk.h"
#include "libvm/sizes.h"
#include "libvm/threaded_visitor.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"format", 'f', Value::dump_format,
     "xml (unless given), as thin_dump 0.9 writes it and all versions read it; xml-shared, with "
     "what volumes share once, as 1.x does; raw, an image of the metadata device."},
    {"output", 'o', Value::file, "File to write; raw needs one."},
    {"dev-id", 0, Value::number, "Only the volume with that thin id."},
    {"skip-mappings", 0, Value::none, "The volumes without what they map."},
    metadata_snapshot_option,
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

Result<MetadataContents> contents_wanted(const Invocation& call, BlockQueue& device) {
    MetadataContents contents = TRY(read_contents(device));
    if (!call.has("dev-id")) return contents;
    const std::string& wanted = call.value("dev-id");
    const std::uint64_t id = TRY(parse_number(wanted));
    std::erase_if(contents.volumes, [&](const WalkedVolume& v) { return v.facts.id != id; });
    if (contents.volumes.empty()) return Error(Errc::not_found, "no volume has thin id " + wanted);
    return contents;
}

Result<> without_mappings(const MetadataContents& contents, MetadataVisitor& visitor) {
    TRY(visitor.pool(contents.pool));
    for (const WalkedVolume& volume : contents.volumes) {
        TRY(visitor.begin_volume(volume.facts));
        TRY(visitor.end_volume());
    }
    return visitor.end();
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
    const MetadataContents contents = TRY(contents_wanted(call, device));
    TRY(call.has("skip-mappings") ? without_mappings(contents, visitor)
                                  : walk_contents(device, contents, {.subtrees = shared}, visitor));
    return sink.finish();
}

int run(Invocation& call) {
    const bool raw = call.value_or("format", "xml") == "raw";
    for (const std::string_view o : {"dev-id", "skip-mappings", "metadata-snap"}) {
        if (raw && call.has(o)) return call.usage(fmt::format("--{} is for XML.", o));
    }
    if (raw && !call.has("output")) return call.usage("--format raw needs a file: --output.");
    MetadataSource source = TRY_OR_FAIL(call, open_volumes_metadata(call));
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
                             .run = run,
                             .test_mode = TestMode::harmless};
static_assert(well_formed(tvdump));

}  // namespace thinvol
