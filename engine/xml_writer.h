// XmlWriter: the visitor that writes thin_dump's XML: without subtrees the flat form that both
// generations of the tools read, with them (<def>, <ref>) the one of 1.x.
//
// Units       as MetadataVisitor
// Invariants  (1) two spaces a level, attributes in thin_dump's order: files can be compared
//             (2) text goes to the sink in large pieces, all of it by the end of end()
// Errors      what the sink returns
// Threads     one
// Source      thin-provisioning-tools thin_dump(8)
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "engine/metadata_visitor.h"

namespace thinvol {

using TextSink = std::function<Result<>(std::string_view)>;

class XmlWriter : public MetadataVisitor {
public:
    explicit XmlWriter(TextSink sink);

    Result<> pool(const PoolFacts& facts) override;
    Result<> begin_subtree(std::uint64_t name) override;
    Result<> end_subtree() override;
    Result<> begin_volume(const VolumeFacts& facts) override;
    Result<> end_volume() override;
    Result<> runs(std::span<const MappingRun> runs) override;
    Result<> subtree(std::uint64_t name) override;
    Result<> end() override;

private:
    // Room for that many bytes more; hands on what there is when it lacks.
    Result<> reserve(std::size_t bytes);
    void put(std::string_view text);
    void put(std::uint64_t number);
    Result<> line(std::string_view text);
    Result<> flush();

    TextSink sink_;
    std::vector<char> buffer_;
    char* at_;
};

}  // namespace thinvol
