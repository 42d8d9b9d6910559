// S33c, S33s, S35: commands of the suite and their servers, as processes, killed or told to end at
// each system call that somebody else can notice. What is left is the state before or after; the
// same command again ends with the one after; nothing leaks.
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "engine/base/crc32c.h"
#include "tests/prove/kill_point.h"
#include "tests/prove/rows.h"
#include "tests/support/judges.h"
#include "tests/support/processes.h"

namespace thinvol {
namespace {

namespace fs = std::filesystem;

struct KillStep {
    const char* command;
    bool active = false;           // with vg0/v in use by the pool's server
    bool starts = false;           // starts a server
    const char* before = nullptr;  // what it needs, in a shell
    bool piecemeal = false;        // a part of it may be done, as it says itself
    bool script = false;           // a shell's: only the server is killed under it
    bool anew = false;             // given once more it is done once more
};

// Each from what the one before it left. Sizes are absolute, so that twice is once.
constexpr KillStep script[] = {
    {"tvgcreate -s 1m vg0 p0"},
    {"tvcreate -L 16m -T vg0/pool0"},
    {"tvcreate -V 32m -T vg0/pool0 -n v"},
    {"tvsnapshot -n s0 vg0/v"},
    {"tvsnapshot -n s1 vg0/v", true},
    {"tvcreate -V 8m -T vg0/pool0 -n w", true},
    {"tvgextend vg0 p1"},
    {"tvextend -L 24m vg0/pool0"},
    {"tvextend -L 32m vg0/pool0", true},
    {"tvextend --poolmetadatasize 8m vg0/pool0", true},
    {"tvextend -L 48m vg0/v", true},
    {"tvpvmove p1", true, false, nullptr, true},
    {"tvsnapshot --group -n {origin}-g vg0/v vg0/s1", true},
    {"tvchange --addtag nightly vg0/v"},
    {"tvconvert --merge vg0/v-g"},
    {"tvremove -y vg0/s1-g"},
    {"tvgchange --addtag fast vg0"},
    {"tvpvchange -xn p0"},
    {"tvpvchange -xy p0"},
    {"tvreduce -y -L 40m vg0/v"},
    {"tvrename vg0/s0 vg0/r0"},
    {"tvrename vg0/w vg0/x", true},
    {"tvchange -p r vg0/r0"},
    {"tvchange --errorwhenfull y vg0/pool0", true},
    {"tvchange -ay vg0/v", false, true},
    {"tvchange -an vg0/v", true},
    {"tvremove -y vg0/r0"},
    {"tvremove -y vg0/x", true},
    {"tvrestore -y -i dump.xml vg0/pool0", false, false, "tvdump -o dump.xml vg0/pool0"},
    {.command = "tvrepair -y vg0/pool0", .anew = true},
    {"tvchange --lend kernel vg0/pool0"},
    {"tvchange --return vg0/pool0"},
    {"tvpvmove p0", false, false, nullptr, true},
    {"tvcreate -L 8m -T vg0/pool1"},
    {"tvremove -y vg0/pool1"},
    {"tvgrename vg0 vg1"},
    {"tvgrename vg1 vg0"},
    {"tvgexport vg0"},
    {"tvgimport vg0"},
    {"tvgcfgrestore --force -f backup vg0", false, false,
     "tvgcfgbackup -f backup vg0 && tvgchange --addtag lost vg0"},
    {"tvgscan --rebuild p0 p1", false, false, "rm -r s"},
    // The server extends its pool.
    {"tvchange -ay vg0/v && tvchange --setting autoextend.data_percent=50 --setting "
     "autoextend.data_threshold=50 vg0/pool0 && until "
     "[ $(tvs --noheadings -o lv_size vg0/pool0) = 48.00m ]; do "
     "[ $(tvs --noheadings -o server_pid vg0/v) ] || exit 1; done",
     true, false,
     "tvchange -ay vg0/v && head -c 20M /dev/urandom > written && "
     "nbdcopy --flush written $(tvs --noheadings -o uri vg0/v) && rm written",
     false, true},
};

// A folder with everything: two physical volumes, the catalog, sockets. Copied from a base each
// time, always to the same place, because the catalog has the paths.
class Workshop {
public:
    Workshop() {
        const char* memory = "/dev/shm";  // a kill is no power cut: nothing needs a disk
        std::string pattern =
            (::access(memory, W_OK) == 0 ? std::string(memory) : std::string("/var/tmp")) +
            "/tvk.XXXXXX";
        root_ = ::mkdtemp(pattern.data());
        const fs::path bin = fs::read_symlink("/proc/self/exe").parent_path();
        ::setenv("PATH", (bin.string() + ":" + ::getenv("PATH")).c_str(), 1);
        for (const auto& [name, sub] : {std::pair{"THINVOL_STATE_DIR", "s"},
                                        {"THINVOL_RUN_DIR", "r"},
                                        {"THINVOL_CONFIG_DIR", "c"}})
            ::setenv(name, (here() / sub).c_str(), 1);
    }
    ~Workshop() {
        sh("tvchange -an $(tvgs --noheadings -o vg_name)");
        limit_.end();
        fs::remove_all(root_);
    }
    Workshop(const Workshop&) = delete;
    Workshop& operator=(const Workshop&) = delete;
    fs::path here() const { return root_ / "w"; }
    fs::path base(std::size_t i) const { return root_ / fmt::format("b{}", i); }
    Verdict sh(const std::string& command) const {
        return run_judge(fmt::format("cd {} && {{ {}; }} </dev/null", here().string(), command),
                         &limit_);
    }
    // For whatever runs here: then everything here is ended, servers too.
    const TimeLimit& limit() const { return limit_; }
    void make() const {
        fs::create_directory(here());
        sh("truncate -s 64M p0 p1");
    }
    void keep(std::size_t i) const { copy(here(), base(i)); }
    void restore(std::size_t i) const {
        fs::remove_all(here());
        copy(base(i), here());
    }

private:
    static void copy(const fs::path& from, const fs::path& to) {
        run_judge(fmt::format("cp -a --sparse=always {} {}", from.string(), to.string()));
    }
    fs::path root_;
    TimeLimit limit_{std::chrono::seconds(120),
                     [this] { return end_processes(processes_with(root_.string())); }};
};

// What a user sees of groups and volumes; with space, and what is hidden, once the next command
// that changes the pool has brought it to its end.
std::string visible(const Workshop& shop) {
    return shop
        .sh("tvgs --noheadings -o vg_name,vg_attr,vg_size,pv_count,vg_tags; tvpvs --noheadings -o "
            "pv_name,vg_name,pv_size,pv_allocatable; tvs --noheadings -o "
            "lv_name,vg_name,lv_size,origin,pool_lv,lv_permissions,lv_when_full,lv_metadata_size,"
            "thin_id,lent_to,lv_tags")
        .output;
}
std::string settled(const Workshop& shop) {
    return visible(shop) +
           shop.sh("tvgs --noheadings -o vg_name,vg_free; tvpvs --noheadings -o pv_name,pv_free; "
                   "tvs -a --noheadings -o lv_name,lv_size")
               .output;
}

// What has nothing to do with it, in each group: it ends what was left half done.
void change_something(const Workshop& shop) {
    shop.sh(
        "for g in $(tvgs --noheadings -o vg_name); do tvgchange --addtag t $g; "
        "tvgchange --deltag t $g; done");
}

std::vector<std::string> words_of(const std::string& text) {
    std::vector<std::string> words;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find(' ', at), text.size());
        words.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

// After everything has ended: sound pools with the volumes that the catalog has, no process, no
// socket, no file too many.
std::string leaks(const Workshop& shop) {
    const Verdict sound = shop.sh(R"(
set -e
groups=$(tvgs --noheadings -o vg_name)
[ -z "$groups" ] || tvchange -an $groups
for pool in $(tvs --noheadings -o lv_full_name,lv_attr | awk '$2 ~ /^t/ {print $1}'); do
  lent=$(tvs --noheadings -o lent_to $pool | xargs)
  [ "$lent" != kernel ] || tvchange --return $pool
  tvcheck -q $pool
  tvdump --format raw -o md $pool; thin_check -q md; rm md
  inside=$(tvdump $pool | grep -c '<device' || true)
  named=$(tvs --noheadings -o pool_lv | grep -cw ${pool#*/} || true)
  [ $inside = $named ] || { echo "$pool has $inside volumes, the catalog $named"; exit 1; }
  [ -z "$lent" ] || [ "$lent" = nobody ] || tvchange --lend $lent $pool
done
find r -type s | grep . && exit 1
find s r c -type f 2>/dev/null | grep -vE '\.log$|catalog\.db(-wal|-shm)?$|/locks/|/archive/' &&
  exit 1
true)");
    return sound.status == 0 ? "" : sound.output;
}

class KillRun {
public:
    // The signals take turns.
    KillRun(const Budget& budget, Victim victim, std::vector<int> signals)
        : budget_(budget), victim_(victim), signals_(std::move(signals)) {}
    Outcome run();

private:
    struct Stage {
        std::string before;
        std::string after;
        std::string all_before;
        std::string all_after;
        std::uint64_t points = 0;
    };
    bool concerned(const KillStep& step) const {
        return (victim_ == Victim::command && !step.script) ||
               (step.active && victim_ == Victim::server) ||
               (step.starts && victim_ == Victim::started);
    }
    bool record();
    bool prepare(const KillStep& step, std::size_t i);
    bool one(std::size_t i, std::uint64_t at);
    bool fail(const std::string& text) {
        outcome_.failure += text + '\n';
        return false;
    }
    Result<KilledRun> killed(const KillStep& step, std::uint64_t at);

    Budget budget_;
    Victim victim_;
    std::vector<int> signals_;
    Workshop shop_;
    std::vector<Stage> stages_;
    Outcome outcome_;
};

bool KillRun::prepare(const KillStep& step, std::size_t i) {
    shop_.restore(i);
    if (step.before != nullptr) {
        const Verdict v = shop_.sh(step.before);
        if (v.status != 0) return fail(fmt::format("{}: {}", step.before, v.output));
    }
    if (!step.active) return true;
    const Verdict v = shop_.sh("tvchange -ay vg0/v");
    return v.status == 0 || fail(fmt::format("tvchange -ay: {}", v.output));
}

Result<KilledRun> KillRun::killed(const KillStep& step, std::uint64_t at) {
    KillOrder order{.victim = victim_, .at = at};
    order.signal = signals_[outcome_.executed % signals_.size()];
    if (victim_ == Victim::server) {
        const Verdict v = shop_.sh("tvs --noheadings -o server_pid vg0/v");
        order.server = static_cast<pid_t>(std::strtol(v.output.c_str(), nullptr, 10));
        if (order.server <= 0) return Error(Errc::io_error, "no server: " + v.output);
    }
    const fs::path old = fs::current_path();
    fs::current_path(shop_.here());
    const std::vector<std::string> words =
        step.script ? std::vector<std::string>{"sh", "-c", step.command} : words_of(step.command);
    auto run =
        run_killed(words, (shop_.here().parent_path() / "out").string(), order, shop_.limit());
    fs::current_path(old);
    return run;
}

// All steps unkilled: what there is before and after each, and how many points.
bool KillRun::record() {
    shop_.make();
    for (std::size_t i = 0; i < std::size(script); ++i) {
        const KillStep& step = script[i];
        shop_.keep(i);
        if (!prepare(step, i)) return false;
        Stage stage;
        if (concerned(step)) stage = {visible(shop_), {}, settled(shop_), {}, 0};
        auto run = killed(step, ~0ULL);
        if (!run && concerned(step)) return fail(run.error().text);
        if (!run) {
            const Verdict v = shop_.sh(step.command);
            if (v.status != 0) return fail(fmt::format("{}: {}", step.command, v.output));
        } else if (run->status != 0) {
            return fail(fmt::format("{}: {}", step.command, shop_.sh("cat ../out").output));
        }
        if (concerned(step)) {
            stage.after = visible(shop_);
            stage.all_after = settled(shop_);
            stage.points = run->points;
        }
        stages_.push_back(stage);
        if (!concerned(step)) {
            shop_.sh("tvchange -an $(tvgs --noheadings -o vg_name)");
            continue;
        }
        if (const std::string wrong = leaks(shop_); !wrong.empty())
            return fail(fmt::format("{}, not killed: {}", step.command, wrong));
    }
    return true;
}

bool KillRun::one(std::size_t i, std::uint64_t at) {
    const KillStep& step = script[i];
    const Stage& stage = stages_[i];
    const auto wrong = [&](const std::string& text) {
        return fail(fmt::format("{}, point {} of {}: {}", step.command, at, stage.points, text));
    };
    if (!prepare(step, i)) return false;
    const auto run = killed(step, at);
    if (!run) return wrong(run.error().text);
    ++outcome_.executed;
    outcome_.distinct.insert(i << 32 | at);
    const std::string said = shop_.sh("cat ../out").output;
    const std::string state = visible(shop_);
    if (state != stage.before && state != stage.after)
        return wrong(
            fmt::format("it left\n{}before:\n{}after:\n{}", state, stage.before, stage.after));
    if (const Verdict checked = shop_.sh("tvgck"); checked.status != 0)
        return wrong("tvgck: " + checked.output);
    if (run->status == 0 && state != stage.after)
        return wrong(fmt::format("it succeeded, and left what was before; it said: {}", said));
    if (!step.piecemeal) {
        change_something(shop_);
        const std::string now = settled(shop_);
        if (now != stage.all_before && now != stage.all_after)
            return wrong(fmt::format("after another change there is\n{}before:\n{}after:\n{}", now,
                                     stage.all_before, stage.all_after));
    }
    if (!step.anew || settled(shop_) == stage.all_before) {
        const Verdict again = shop_.sh(step.command);
        if (const std::string now = settled(shop_); now != stage.all_after)
            return wrong(
                fmt::format("again: {}it left\n{}after:\n{}", again.output, now, stage.all_after));
    }
    if (const std::string left = leaks(shop_); !left.empty()) return wrong(left);
    return true;
}

Outcome KillRun::run() {
    if (!record()) return outcome_;
    std::uint64_t total = 0;
    for (const Stage& stage : stages_) total += stage.points;
    const std::uint64_t stride = std::max<std::uint64_t>(1, total / budget_.states);
    std::uint64_t skip = budget_.seed % stride;
    for (std::size_t i = 0; i < stages_.size(); ++i) {
        for (std::uint64_t at = 1; at <= stages_[i].points; ++at) {
            if (skip-- > 0) continue;
            skip = stride - 1;
            if (!one(i, at)) break;  // of each step one failure is enough
        }
    }
    return outcome_;
}

}  // namespace

Outcome commands_survive_kills(const Budget& budget) {
    return KillRun(budget, Victim::command, {SIGKILL}).run();
}

Outcome servers_survive_kills(const Budget& budget) {
    const std::uint64_t quarter = budget.states / 4;  // it is one command that starts one
    Outcome sum = KillRun({budget.states - quarter, budget.seed}, Victim::server, {SIGKILL}).run();
    if (!sum.failure.empty()) return sum;
    const Outcome started = KillRun({quarter, budget.seed}, Victim::started, {SIGKILL}).run();
    sum.executed += started.executed;
    for (const std::uint64_t id : started.distinct) sum.distinct.insert(id | 1ULL << 63);
    sum.failure = started.failure;
    return sum;
}

Outcome commands_survive_signals(const Budget& budget) {
    return KillRun(budget, Victim::command, {SIGINT, SIGTERM}).run();
}

}  // namespace thinvol
