// Interleaving: one order in which the steps of a run happen: turns of the pool's thread and of the
// lanes, ends of requests to the devices, and what users ask for.
//
// Units       decisions, counted from 0: steps at which more than one could go on
// Invariants  (1) without pre-emptions each act runs until all stands still, and then comes the
//                 next; threads go first, then the oldest request to a device
//             (2) who is pre-empted goes on only when nobody else can
//             (3) the same acts and pre-emptions are the same run
// Errors      come_to_rest() says whether all stood still in the end
// Threads     one
// Source      CHESS (Musuvathi and Qadeer, "Iterative context bounding", 2007); delay-bounded
//             scheduling (Emmi, Qadeer and Rakamaric, 2011)
#pragma once

#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "tests/support/sim_run.h"

namespace thinvol {

// At that decision not the first goes on, but another of those that can, counted from 1.
struct Preemption {
    std::uint32_t decision;
    std::uint32_t by;
};
std::string text_of(std::span<const Preemption> preemptions);

class Interleaving {
public:
    Interleaving(SimRun& run, std::vector<Act> acts);
    ~Interleaving();

    // Until nobody can go on; false: there is no end to it.
    bool come_to_rest(std::span<const Preemption> preemptions);
    // Of each decision, how many could go on.
    const std::vector<std::uint32_t>& ways() const { return ways_; }
    // What devices and users saw, in order.
    std::uint64_t identity() const;

private:
    enum class Kind : std::uint8_t { pool, lane, request, user };
    struct Actor {
        std::uint64_t delayed = 0;  // when it was pre-empted last; 0: since then it went on
        Kind kind = Kind::pool;
        std::uint64_t number = 0;  // of a lane or a request
        bool awake = true;         // of a thread: something happened since it had nothing to do
        bool operator<(const Actor& other) const {
            return std::tie(delayed, kind, number) <
                   std::tie(other.delayed, other.kind, other.number);
        }
    };
    void look_for_requests();
    std::vector<Actor*> able();
    Actor& choose(std::vector<Actor*> able, std::span<const Preemption> preemptions);
    void go_on(Actor actor);
    void wake_all();

    SimRun& run_;
    std::vector<Act> acts_;
    std::size_t next_act_ = 0;
    std::vector<Actor> actors_;
    std::vector<std::uint32_t> ways_;
    std::uint64_t delays_ = 0;
    std::size_t began_;  // position of the trace
};

}  // namespace thinvol
