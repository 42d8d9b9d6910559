// Goal: S41: text that is no dump is refused, one that is makes sound metadata, which give the same
//       text again; and no text makes the reader or the builder take more than the device has.
// Method: the input, cut into pieces, through reader and builder to a device in memory; a recount;
//       a dump, and all of it again.
#include "engine/check.h"
#include "engine/metadata_builder.h"
#include "engine/metadata_walk.h"
#include "engine/xml_reader.h"
#include "engine/xml_writer.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/support/memory_queue.h"

namespace thinvol {
namespace {

constexpr Sectors device_size{8 * 128};

Result<> restore(std::string_view xml, std::size_t piece, BlockQueue& device) {
    MetadataBuilder builder(device);
    return read_xml(
        [&](std::span<char> into) -> Result<std::size_t> {
            const std::size_t n = std::min({piece, into.size(), xml.size()});
            std::copy_n(xml.begin(), n, into.begin());
            xml.remove_prefix(n);
            return n;
        },
        builder);
}

std::string dump(BlockQueue& device, bool subtrees) {
    std::string xml;
    XmlWriter writer([&](std::string_view text) -> Result<> {
        xml += text;
        return {};
    });
    must(walk_metadata(device, {.subtrees = subtrees}, writer));
    return xml;
}

void run(std::string_view xml, std::size_t piece) {
    MemoryQueue device(device_size);
    if (!restore(xml, piece, device)) return;
    const CheckReport report = must(check_metadata(device));
    demand(report.clean(), report.clean() ? "" : report.findings.front().text.c_str());
    for (const bool subtrees : {false, true}) {
        const std::string once = dump(device, subtrees);
        MemoryQueue again(device_size);
        const auto outcome = restore(once, ~0UL, again);
        // Without subtrees volumes share nothing, and may need more room.
        if (!outcome && !subtrees && outcome.error().code == Errc::out_of_space) continue;
        demand(outcome.has_value(), outcome ? "" : outcome.error().text.c_str());
        demand(dump(again, subtrees) == once, "a dump that is restored gives another one");
    }
}

}  // namespace
}  // namespace thinvol

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t n) {
    thinvol::FuzzInput input(data, n);
    const std::size_t piece = input.byte();
    thinvol::run(input.rest(), piece == 0 ? ~0UL : piece);
    return 0;
}
