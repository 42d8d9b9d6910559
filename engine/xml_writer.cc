#include "engine/xml_writer.h"

#include <fmt/format.h>

#include <cstring>

namespace thinvol {
namespace {

constexpr std::size_t buffer_bytes = 256 * 1024;
// Four numbers of 20 digits, and the words around them.
constexpr std::size_t longest_mapping = 256;

std::string escaped(std::string_view text) {
    std::string safe;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'' || byte < 0x20 || byte > 0x7e)
            safe += fmt::format("&#{};", byte);
        else safe += c;
    }
    return safe;
}

}  // namespace

XmlWriter::XmlWriter(TextSink sink)
    : sink_(std::move(sink)), buffer_(buffer_bytes), at_(buffer_.data()) {}

Result<> XmlWriter::flush() {
    const std::string_view text(buffer_.data(), static_cast<std::size_t>(at_ - buffer_.data()));
    at_ = buffer_.data();
    return sink_(text);
}

Result<> XmlWriter::reserve(std::size_t bytes) {
    if (static_cast<std::size_t>(buffer_.data() + buffer_.size() - at_) >= bytes) return {};
    return flush();
}

inline void XmlWriter::put(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
}

inline void XmlWriter::put(std::uint64_t number) {
    const fmt::format_int digits(number);
    std::memcpy(at_, digits.data(), digits.size());
    at_ += digits.size();
}

Result<> XmlWriter::line(std::string_view text) {
    ASSERT(text.size() < buffer_bytes);
    TRY(reserve(text.size() + 1));
    put(text);
    *at_++ = '\n';
    return {};
}

Result<> XmlWriter::pool(const PoolFacts& facts) {
    const std::string snapshot =
        facts.metadata_snapshot == MetadataBlock(0)
            ? ""
            : fmt::format(R"( metadata_snap="{}")", facts.metadata_snapshot);
    return line(fmt::format(R"(<superblock uuid="{}" time="{}" transaction="{}" flags="{}")"
                            R"( version="{}" data_block_size="{}" nr_data_blocks="{}"{}>)",
                            escaped(facts.uuid), facts.time, facts.transaction_id.n,
                            facts.needs_check ? 1 : 0, facts.version, facts.data_block_size,
                            facts.data_blocks, snapshot));
}

Result<> XmlWriter::begin_subtree(std::uint64_t name) {
    return line(fmt::format(R"(  <def name="{}">)", name));
}

Result<> XmlWriter::end_subtree() { return line("  </def>"); }

Result<> XmlWriter::begin_volume(const VolumeFacts& facts) {
    return line(fmt::format(R"(  <device dev_id="{}" mapped_blocks="{}" transaction="{}")"
                            R"( creation_time="{}" snap_time="{}">)",
                            facts.id, facts.mapped_blocks, facts.created_in.n, facts.creation_time,
                            facts.snapshotted_time));
}

Result<> XmlWriter::end_volume() { return line("  </device>"); }

Result<> XmlWriter::subtree(std::uint64_t name) {
    return line(fmt::format(R"(    <ref name="{}"/>)", name));
}

Result<> XmlWriter::runs(std::span<const MappingRun> runs) {
    for (const MappingRun& run : runs) {
        TRY(reserve(longest_mapping));
        if (run.length == 1) {
            put("    <single_mapping origin_block=\"");
            put(run.origin);
            put("\" data_block=\"");
            put(run.data);
        } else {
            put("    <range_mapping origin_begin=\"");
            put(run.origin);
            put("\" data_begin=\"");
            put(run.data);
            put("\" length=\"");
            put(run.length);
        }
        put("\" time=\"");
        put(run.time);
        put("\"/>\n");
    }
    return {};
}

Result<> XmlWriter::end() {
    TRY(line("</superblock>"));
    return flush();
}

}  // namespace thinvol
