#include "libvm/pool_keeper.h"

#include <fmt/format.h>
#include <syslog.h>

#include <algorithm>

#include "libvm/pool_access.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr auto tick = std::chrono::seconds(1);
constexpr auto hook_tick = std::chrono::milliseconds(50);  // while one is under way

std::filesystem::file_time_type time_of(const std::filesystem::path& path) {
    std::error_code none;
    const auto time = std::filesystem::last_write_time(path, none);
    return none ? std::filesystem::file_time_type() : time;
}

bool is_level(std::string_view kind) { return kind == "data_level" || kind == "metadata_level"; }

}  // namespace

PoolKeeper::PoolKeeper(Session session, const PoolRow& pool, const Config& config, EventLog& events,
                       Server server)
    : session_(std::move(session)),
      pool_id_(pool.lv.id),
      events_(events),
      server_(std::move(server)),
      config_(config),
      file_time_(time_of(config_path(session_.environment))) {}

void PoolKeeper::start() {
    if (thread_.joinable()) return;
    ::openlog("thinvold", LOG_PID, LOG_DAEMON);
    thread_ = std::thread([this] { run(); });
}

void PoolKeeper::stop() {
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void PoolKeeper::wake(bool reload) {
    {
        const std::scoped_lock lock(mutex_);
        wake_ = true;
        reload_ = reload_ || reload;
    }
    changed_.notify_all();
}

// A level may be a threshold alone, or pass several warnings at once: the highest one counts.
void PoolKeeper::note(const PoolEvent& event) {
    LoggedEvent logged{
        0, session_.now(), name_of(event.kind), name_of(event.mode), event.percent, event.text};
    if (is_level(logged.kind)) {
        logged.percent = 0;
        const std::scoped_lock lock(mutex_);
        for (const unsigned level : warn_levels_) {
            if (level > event.from_percent && level <= event.percent) logged.percent = level;
        }
    }
    if (!is_level(logged.kind) || logged.percent > 0) events_.add(std::move(logged));
    wake(false);
}

void PoolKeeper::run() {
    for (bool going = true; going;) {
        bool reload = false;
        {
            std::unique_lock lock(mutex_);
            const std::chrono::milliseconds limit = hooks_.busy() ? hook_tick : tick;
            changed_.wait_for(lock, limit, [&] { return wake_ || stopping_; });
            wake_ = false;
            reload = std::exchange(reload_, false);
            going = !stopping_;
        }
        if (going) {
            load_settings(reload);
            autoextend();
        }
        pass_on();
        hooks_.turn(static_cast<std::size_t>(config_.number("events.hook_maximum")));
    }
}

// --- settings ------------------------------------------------------------------------------------

void PoolKeeper::load_settings(bool now) {
    const auto time = time_of(config_path(session_.environment));
    if (!now && time == file_time_) return;
    file_time_ = time;
    const auto load = [&]() -> Result<Config> {
        const PoolRow pool = TRY(session_.catalog.pool(pool_id_));
        return Config::load(session_, pool.lv.vg_id, pool_id_);
    };
    auto config = load();
    if (!config) return log_once("settings", config.error().text, settings_failure_);
    settings_failure_.clear();
    config_ = std::move(*config);
    use_settings();
    if (now) return;  // as part of a request
    const auto refreshed = server_.ask(new_request(RefreshRequest{}));
    if (!refreshed) log_once("settings", refreshed.error().text, settings_failure_);
}

void PoolKeeper::use_settings() {
    std::vector<unsigned> levels = config_.warning_levels();
    {
        const std::scoped_lock lock(mutex_);
        warn_levels_ = levels;
    }
    for (const char* key : {"autoextend.data_threshold", "autoextend.metadata_threshold"})
        levels.push_back(static_cast<unsigned>(config_.number(key)));
    std::sort(levels.begin(), levels.end());
    levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
    server_.set_levels(levels);
}

// --- events --------------------------------------------------------------------------------------

void PoolKeeper::log(std::string kind, std::string text) {
    events_.add({0, session_.now(), std::move(kind), {}, 0, std::move(text)});
}

void PoolKeeper::log_once(std::string kind, const std::string& text, std::string& said) {
    if (said == text) return;
    said = text;
    log(std::move(kind), text);
}

void PoolKeeper::pass_on() {
    const auto events = events_.after(passed_on_, std::chrono::milliseconds(0));
    if (events.empty()) return;
    passed_on_ = events.back().number;
    const auto pool = session_.catalog.pool(pool_id_);
    const auto group =
        pool ? session_.catalog.group(pool->lv.vg_id) : Result<GroupRow>(pool.error());
    if (!group) {
        fmt::print(stderr, "thinvold: events not passed on: {}\n", group.error().text);
        return;
    }
    for (const LoggedEvent& event : events) {
        if (config_.flag("events.syslog")) to_syslog(event, group->name + "/" + pool->lv.name);
        if (!config_.value("events.hook").empty()) add_hook(event, *group, *pool);
    }
}

void PoolKeeper::to_syslog(const LoggedEvent& event, const std::string& pool_name) {
    const bool good = event.kind == "autoextend" || (event.kind == "mode" && event.mode == "rw");
    std::string what = event.kind == "mode" ? "mode " + event.mode : event.kind;
    if (is_level(event.kind)) {
        what = fmt::format("{} is now {}% full", event.kind == "data_level" ? "data" : "metadata",
                           event.percent);
    }
    ::syslog(good ? LOG_NOTICE : LOG_WARNING, "%sThin pool %s: %s%s%s",
             good ? "" : "WARNING: ", pool_name.c_str(), what.c_str(),
             event.text.empty() ? "" : ": ", event.text.c_str());
}

void PoolKeeper::add_hook(const LoggedEvent& event, const GroupRow& group, const PoolRow& pool) {
    hooks_.add(
        {config_.value("events.hook"),
         {"THINVOL_EVENT=" + event.kind, "THINVOL_VG=" + group.name, "THINVOL_POOL=" + pool.lv.name,
          "THINVOL_MODE=" + event.mode, fmt::format("THINVOL_PERCENT={}", event.percent),
          "THINVOL_TEXT=" + event.text, fmt::format("THINVOL_TIME={}", event.time)},
         to_json(event) + "\n",
         std::chrono::seconds(config_.number("events.hook_timeout"))});
}

// --- growing -------------------------------------------------------------------------------------

void PoolKeeper::autoextend() {
    if (!config_.autoextends_data() && !config_.autoextends_metadata()) return;
    bool again = true;
    while (again) {
        again = false;
        const auto done = extend_once(again);
        if (!done) log_once("autoextend_failed", done.error().text, failure_);
    }
}

Result<> PoolKeeper::extend_once(bool& again) {
    const PoolAnswer use = TRY(server_.ask(new_request(StatusRequest{})));
    if (use.mode == "ro" || use.mode == "failed") return {};
    if (!threshold_reached(config_, use)) {
        data_limit_.clear();
        metadata_limit_.clear();
        return {};
    }
    const PoolRow pool = TRY(session_.catalog.pool(pool_id_));
    const GroupRow group = TRY(session_.catalog.group(pool.lv.vg_id));
    const AutoextendPlan plan = TRY(plan_autoextend(session_, group, pool, config_, use));
    say_limit("data", plan.data, data_limit_);
    say_limit("metadata", plan.metadata, metadata_limit_);
    if (!plan.grows()) return {};
    TRY(server_.ask(new_request(ExtendPoolRequest{plan.data.by, plan.metadata.by, {}, {}, {}})));
    failure_.clear();
    again = true;
    const auto said = [&](const char* part, Extents by) {
        if (by > Extents(0))
            log("autoextend", fmt::format("{} grew by {}", part,
                                          format_size_long(to_bytes(group.extent_size * by.n))));
    };
    said("data", plan.data.by);
    said("metadata", plan.metadata.by);
    return {};
}

void PoolKeeper::say_limit(const char* part, const AutoextendPlan::Part& plan, std::string& said) {
    if (!plan.reached) said.clear();
    if (plan.reached && plan.by == Extents(0))
        log_once("autoextend_limit", fmt::format("{} cannot grow: {}", part, plan.limit), said);
}

}  // namespace thinvol
