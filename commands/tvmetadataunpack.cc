#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "commands/invocation.h"
#include "commands/table.h"
#include "engine/file_queue.h"
#include "libvm/metadata_pack.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"input", 'i', Value::file, "What tvmetadatapack wrote."},
    {"output", 'o', Value::file, "Image of the metadata device, made new."},
};
constexpr std::string_view examples[] = {"tvmetadataunpack -i damaged.pack -o damaged.img"};

Result<std::unique_ptr<BlockQueue>> make_image(const std::string& path, MetadataBlocks blocks,
                                               bool overwrite) {
    const int flags = O_RDWR | O_CREAT | O_CLOEXEC | (overwrite ? O_TRUNC : O_EXCL);
    UniqueFd fd(::open(path.c_str(), flags, 0666));
    if (!fd && errno == EEXIST)
        return Error(Errc::exists,
                     fmt::format("{} is there already; overwrite it with --yes", path));
    const Bytes size(blocks.n * metadata_block_bytes);
    if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size.n)) != 0)
        return Error(Errc::io_error, fmt::format("{}: {}", path, std::strerror(errno)));
    std::unique_ptr<BlockQueue> image =
        std::make_unique<FileQueue>(std::move(fd), path, FileOptions{.size = to_sectors(size)});
    return image;
}

int run(Invocation& call) {
    if (!call.has("input") || !call.has("output"))
        return call.usage("Please give both files: --input, --output.");
    const std::string& path = call.value("output");
    const auto make = [&](MetadataBlocks blocks) {
        return make_image(path, blocks, call.has("yes"));
    };
    const std::uint64_t unpacked = TRY_OR_FAIL(call, unpack_metadata(call.value("input"), make));
    call.say("{}: {} metadata blocks unpacked", path, unpacked);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvmetadataunpack{
    .name = "tvmetadataunpack",
    .summary = "Make an image of a metadata device from what tvmetadatapack wrote.",
    .options = options,
    .examples = examples,
    .run = run};
static_assert(well_formed(tvmetadataunpack));

}  // namespace thinvol
