// ThreadedVisitor: a visitor that runs another one on a second thread; and the same for text.
//
// Units       as MetadataVisitor
// Invariants  the other visitor sees the same events in the same order; end() returns when it has
//             seen them all
// Errors      the other visitor's, later than the event they belong to
// Threads     as Handoff; a visitor that has a BlockQueue uses it on the second thread only
// Source      none
#pragma once

#include <variant>

#include "engine/metadata_visitor.h"
#include "engine/xml_writer.h"
#include "libvm/handoff.h"

namespace thinvol {

// Some events, kept.
struct VisitedEvents {
    struct BeginSubtree {
        std::uint64_t name;
    };
    struct EndSubtree {};
    struct EndVolume {};
    struct Runs {
        std::size_t count;  // the next ones of `runs`
    };
    struct Subtree {
        std::uint64_t name;
    };
    struct End {};
    using Event = std::variant<PoolFacts, BeginSubtree, EndSubtree, VolumeFacts, EndVolume, Runs,
                               Subtree, End>;

    std::vector<Event> events;
    std::vector<MappingRun> runs;
};
void clear(VisitedEvents& events);

struct TextPiece {
    std::string text;
};
void clear(TextPiece& piece);

class ThreadedVisitor : public MetadataVisitor {
public:
    explicit ThreadedVisitor(MetadataVisitor& other);

    Result<> pool(const PoolFacts& facts) override { return add(facts); }
    Result<> begin_subtree(std::uint64_t name) override {
        return add(VisitedEvents::BeginSubtree{name});
    }
    Result<> end_subtree() override { return add(VisitedEvents::EndSubtree{}); }
    Result<> begin_volume(const VolumeFacts& facts) override { return add(facts); }
    Result<> end_volume() override { return add(VisitedEvents::EndVolume{}); }
    Result<> runs(std::span<const MappingRun> runs) override;
    Result<> subtree(std::uint64_t name) override { return add(VisitedEvents::Subtree{name}); }
    Result<> end() override;

private:
    Result<> add(VisitedEvents::Event event);
    Handoff<VisitedEvents> handoff_;
};

// A sink that is called on a thread of its own.
class ThreadedSink {
public:
    explicit ThreadedSink(TextSink sink);
    Result<> write(std::string_view text);
    // Waits until all is written.
    Result<> finish() { return handoff_.finish(); }

private:
    Handoff<TextPiece> handoff_;
};

}  // namespace thinvol
