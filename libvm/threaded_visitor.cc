#include "libvm/threaded_visitor.h"

namespace thinvol {
namespace {

constexpr std::size_t runs_in_a_piece = 16384;
constexpr std::size_t events_in_a_piece = 1024;

// Gives kept events to a visitor.
class Replay {
public:
    Replay(MetadataVisitor& visitor, std::span<const MappingRun> runs)
        : visitor_(visitor), runs_(runs) {}
    Result<> operator()(const PoolFacts& facts) { return visitor_.pool(facts); }
    Result<> operator()(VisitedEvents::BeginSubtree e) { return visitor_.begin_subtree(e.name); }
    Result<> operator()(VisitedEvents::EndSubtree) { return visitor_.end_subtree(); }
    Result<> operator()(const VolumeFacts& facts) { return visitor_.begin_volume(facts); }
    Result<> operator()(VisitedEvents::EndVolume) { return visitor_.end_volume(); }
    Result<> operator()(VisitedEvents::Runs e) {
        const auto these = runs_.first(e.count);
        runs_ = runs_.subspan(e.count);
        return visitor_.runs(these);
    }
    Result<> operator()(VisitedEvents::Subtree e) { return visitor_.subtree(e.name); }
    Result<> operator()(VisitedEvents::End) { return visitor_.end(); }

private:
    MetadataVisitor& visitor_;
    std::span<const MappingRun> runs_;
};

}  // namespace

void clear(VisitedEvents& events) {
    events.events.clear();
    events.runs.clear();
}
void clear(TextPiece& piece) { piece.text.clear(); }

ThreadedVisitor::ThreadedVisitor(MetadataVisitor& other)
    : handoff_([&other](VisitedEvents& events) -> Result<> {
          Replay replay(other, events.runs);
          for (const auto& event : events.events) TRY(std::visit(replay, event));
          return {};
      }) {}

Result<> ThreadedVisitor::add(VisitedEvents::Event event) {
    VisitedEvents& events = handoff_.current();
    events.events.push_back(std::move(event));
    const bool full =
        events.events.size() >= events_in_a_piece || events.runs.size() >= runs_in_a_piece;
    return full ? handoff_.pass() : Result<>();
}

Result<> ThreadedVisitor::runs(std::span<const MappingRun> runs) {
    VisitedEvents& events = handoff_.current();
    events.runs.insert(events.runs.end(), runs.begin(), runs.end());
    return add(VisitedEvents::Runs{runs.size()});
}

Result<> ThreadedVisitor::end() {
    TRY(add(VisitedEvents::End{}));
    if (!handoff_.current().events.empty()) TRY(handoff_.pass());
    return handoff_.finish();
}

ThreadedSink::ThreadedSink(TextSink sink)
    : handoff_([sink = std::move(sink)](TextPiece& piece) { return sink(piece.text); }) {}

Result<> ThreadedSink::write(std::string_view text) {
    handoff_.current().text.assign(text);
    return handoff_.pass();
}

}  // namespace thinvol
