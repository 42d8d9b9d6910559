// PoolKeeper: what a pool's server does of its own accord: it extends the pool at a threshold, and
// passes events on to syslog and hooks. On a thread of its own, so that none of it holds up the
// pool or a command.
//
// Units       percent; seconds since 1970
// Invariants  (1) the pool grows by the same recorded request that a command would send
//             (2) why it cannot grow is an event once, until that is over; it is tried again each
//                 second
//             (3) a file or setting that is wrong is an event, and the settings stay as they were;
//                 a file that changed and is right holds for the exports too
// Errors      events and standard error: there is nobody to return them to
// Threads     note() from the pool's, reload() and stop() from any; the rest is its own
// Source      lvmthin(7); dmeventd(8), without the second daemon
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "libvm/autoextend.h"
#include "libvm/hook_runner.h"

namespace thinvol {

class PoolKeeper {
public:
    struct Server {
        std::function<Result<PoolAnswer>(const PoolRequest&)> ask;
        // The percentages at which the pool is to tell.
        std::function<void(const std::vector<unsigned>&)> set_levels;
    };
    PoolKeeper(Session session, const PoolRow& pool, const Config& config, EventLog& events,
               Server server);
    ~PoolKeeper() { stop(); }

    // Once before start(), on the thread that owns the pool.
    void use_settings();
    // Called again, it does nothing.
    void start();
    void stop();
    void note(const PoolEvent& event);
    // Settings may have changed.
    void reload() { wake(true); }

private:
    void run();
    void wake(bool reload);
    void load_settings(bool now);
    void pass_on();
    void to_syslog(const LoggedEvent& event, const std::string& pool_name);
    void add_hook(const LoggedEvent& event, const GroupRow& group, const PoolRow& pool);
    void autoextend();
    Result<> extend_once(bool& again);
    void say_limit(const char* part, const AutoextendPlan::Part& plan, std::string& said);
    void log(std::string kind, std::string text);
    void log_once(std::string kind, const std::string& text, std::string& said);

    Session session_;
    const std::int64_t pool_id_;
    EventLog& events_;
    Server server_;
    Config config_;
    std::filesystem::file_time_type file_time_{};
    HookRunner hooks_;
    std::uint64_t passed_on_ = 0;  // number of the last event
    std::string data_limit_, metadata_limit_, failure_, settings_failure_;  // said last (2)

    std::mutex mutex_;
    std::condition_variable changed_;
    bool wake_ = false;                  // under mutex_
    bool reload_ = false;                // under mutex_
    bool stopping_ = false;              // under mutex_
    std::vector<unsigned> warn_levels_;  // under mutex_
    std::thread thread_;
};

}  // namespace thinvol
