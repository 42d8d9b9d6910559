#include "tests/support/interleaving.h"

#include <fmt/format.h>

#include <algorithm>

namespace thinvol {

std::string text_of(std::span<const Preemption> preemptions) {
    std::string text;
    for (const Preemption& p : preemptions)
        text += fmt::format("{}{}:{}", text.empty() ? "" : " ", p.decision, p.by);
    return text.empty() ? "none" : text;
}

Interleaving::Interleaving(SimRun& run, std::vector<Act> acts)
    : run_(run), acts_(std::move(acts)), began_(run.trace().position()) {
    actors_.push_back({.kind = Kind::pool});
    for (std::size_t i = 0; i < run.lanes().size(); ++i)
        actors_.push_back({.kind = Kind::lane, .number = i});
    actors_.push_back({.kind = Kind::user});
    run_.metadata().hold(true);
    run_.data().hold(true);
}

Interleaving::~Interleaving() {
    run_.metadata().hold(false);
    run_.data().hold(false);
}

// Those that ended are gone, those that came are there.
void Interleaving::look_for_requests() {
    std::vector<std::uint64_t> there = run_.metadata().held();
    const std::vector<std::uint64_t> of_data = run_.data().held();
    there.insert(there.end(), of_data.begin(), of_data.end());
    std::erase_if(actors_, [&](const Actor& actor) {
        return actor.kind == Kind::request && std::erase(there, actor.number) == 0;
    });
    for (const std::uint64_t number : there)
        actors_.push_back({.kind = Kind::request, .number = number});
}

std::vector<Interleaving::Actor*> Interleaving::able() {
    std::sort(actors_.begin(), actors_.end());
    std::vector<Actor*> able;
    for (Actor& actor : actors_) {
        if (actor.kind == Kind::user ? next_act_ < acts_.size() : actor.awake)
            able.push_back(&actor);
    }
    return able;
}

Interleaving::Actor& Interleaving::choose(std::vector<Actor*> able,
                                          std::span<const Preemption> preemptions) {
    if (able.size() == 1) return *able[0];
    const std::size_t decision = ways_.size();
    ways_.push_back(static_cast<std::uint32_t>(able.size()));
    for (const Preemption& p : preemptions) {
        if (p.decision != decision || p.by >= able.size()) continue;
        able[0]->delayed = ++delays_;
        return *able[p.by];
    }
    return *able[0];
}

void Interleaving::wake_all() {
    for (Actor& actor : actors_) actor.awake = true;
}

void Interleaving::go_on(Actor actor) {
    bool progress = true;
    switch (actor.kind) {
        case Kind::pool: progress = run_.pool().run_once(); break;
        case Kind::lane: progress = run_.lanes()[actor.number]->run_once(); break;
        case Kind::request: {
            const auto there = run_.metadata().held();
            const bool of_metadata =
                std::find(there.begin(), there.end(), actor.number) != there.end();
            (of_metadata ? run_.metadata() : run_.data()).let_go(actor.number);
            break;
        }
        case Kind::user: run_.play({acts_[next_act_++]}); break;
    }
    if (progress) return wake_all();
    for (Actor& other : actors_) {
        if (other.kind == actor.kind && other.number == actor.number) other.awake = false;
    }
}

bool Interleaving::come_to_rest(std::span<const Preemption> preemptions) {
    constexpr int too_many = 5000;
    for (int step = 0; step < too_many && run_.failures().empty(); ++step) {
        look_for_requests();
        std::vector<Actor*> ready = able();
        if (ready.empty()) return true;
        Actor& actor = choose(std::move(ready), preemptions);
        actor.delayed = 0;
        go_on(actor);
    }
    return !run_.failures().empty();
}

std::uint64_t Interleaving::identity() const {
    std::uint64_t hash = 0xcbf29ce484222325;
    const auto& events = run_.trace().events;
    for (std::size_t at = began_; at < events.size(); ++at) {
        const std::uint64_t event = static_cast<std::uint64_t>(events[at].kind) << 40 |
                                    std::uint64_t{events[at].device} << 32 | events[at].subject;
        hash = (hash ^ event) * 0x100000001b3;
    }
    return hash;
}

}  // namespace thinvol
