#include "libvm/frozen_volumes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "libvm/config.h"
#include "libvm/device_users.h"
#include "libvm/program.h"

namespace thinvol {

class FrozenVolumes::Marks {
public:
    static std::unique_ptr<Marks> make(std::size_t n) {
        void* memory =
            ::mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return nullptr;
        return std::unique_ptr<Marks>(new Marks(static_cast<volatile bool*>(memory), n));
    }
    Marks(const Marks&) = delete;
    Marks& operator=(const Marks&) = delete;
    ~Marks() { ::munmap(const_cast<bool*>(marks_), n_); }
    volatile bool& operator[](std::size_t i) { return marks_[i]; }

private:
    Marks(volatile bool* marks, std::size_t n) : marks_(marks), n_(n) {}
    volatile bool* marks_;
    std::size_t n_;
};

namespace {

using Step = FrozenVolumes::Step;
using Marks = FrozenVolumes::Marks;
constexpr char all_frozen = '\0';  // the first of a report; or else the text of an error

Result<> run_hook(const Step& step, const std::vector<std::string>& hook, std::string_view which) {
    if (hook.empty()) return {};
    Program program{hook, step.variables};
    program.variables.push_back(fmt::format("THINVOL_HOOK={}", which));
    return within(fmt::format("{} hook of {}", which, step.name),
                  run_to_success(program, step.hook_limit));
}

// False: somebody else has frozen it, or it cannot be.
Result<bool> freeze_step(const Step& step) {
    if (!step.mount) {
        TRY(run_hook(step, step.freeze_hook, "freeze"));
        return true;
    }
    int outcome = 0;
    while ((outcome = ::ioctl(step.mount.get(), FIFREEZE, 0)) != 0 && errno == EINTR) {}
    if (outcome == 0) return true;
    if (errno == EOPNOTSUPP || errno == EBUSY) return false;
    return Error(Errc::io_error, fmt::format("freezing {}: {}", step.name, std::strerror(errno)));
}

Result<> thaw_step(const Step& step) {
    if (!step.mount) return run_hook(step, step.thaw_hook, "thaw");
    int outcome = 0;
    while ((outcome = ::ioctl(step.mount.get(), FITHAW, 0)) != 0 && errno == EINTR) {}
    if (outcome == 0 || errno == EINVAL) return {};  // EINVAL: it is not frozen
    return Error(Errc::io_error, fmt::format("thawing {}: {}", step.name, std::strerror(errno)));
}

// The last first; each has its chance.
Result<> thaw_begun(const std::vector<Step>& steps, Marks& begun) {
    Result<> outcome;
    for (std::size_t i = steps.size(); i-- > 0;) {
        if (!begun[i]) continue;
        auto thawed = thaw_step(steps[i]);
        begun[i] = false;
        if (!thawed && !outcome)
            outcome = Error(Errc::io_error, outcome.error().text + "; " + thawed.error().text);
        else if (!thawed) outcome = std::move(thawed);
    }
    return outcome;
}

bool told_to_thaw(int orders) {
    pollfd closed{orders, POLLIN, 0};
    return ::poll(&closed, 1, 0) > 0;
}

Result<> freeze_all(const std::vector<Step>& steps, Marks& begun, int orders) {
    for (std::size_t i = 0; i < steps.size() && !told_to_thaw(orders); ++i) {
        begun[i] = true;
        auto frozen = freeze_step(steps[i]);
        // A hook that failed may have frozen a part; thawing what is not frozen does no harm.
        if (!frozen) return std::move(frozen).error();
        begun[i] = *frozen;
    }
    return {};
}

// The guardian, which ends when it is told to thaw, or this process is gone.
[[noreturn]] void guard(const std::vector<Step>& steps, Marks& begun, int orders, int reports) {
    ::setsid();  // what interrupts the command is not for it, nor what ends all of that name
    ::prctl(PR_SET_NAME, "tv-thaw");
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) std::signal(signal, SIG_IGN);
    auto outcome = freeze_all(steps, begun, orders);
    const auto report = [&](std::string_view text) {
        return ::write(reports, text.data(), text.size()) >= 0;
    };
    bool heard = true;
    if (outcome) {
        heard = report({&all_frozen, 1});
        char none = 0;
        while (::read(orders, &none, 1) < 0 && errno == EINTR) {}
    }
    auto thawed = thaw_begun(steps, begun);
    if (!outcome) heard = report(outcome.error().text);
    if (!outcome && !thawed) heard = report("; ") && heard;
    if (!thawed) heard = report(thawed.error().text) && heard;
    _exit(heard ? 0 : 1);
}

std::string read_all(int fd) {
    std::string text;
    std::array<char, 4096> part{};
    for (ssize_t n; (n = ::read(fd, part.data(), part.size())) != 0;) {
        if (n > 0) text.append(part.data(), static_cast<std::size_t>(n));
        else if (errno != EINTR) break;
    }
    return text;
}

Result<std::vector<Step>> steps_of(const std::vector<VolumeToFreeze>& volumes) {
    std::vector<Step> steps;
    // Guests first: what they write on that occasion is held still on this host too.
    for (const VolumeToFreeze& v : volumes) {
        if (v.freeze_hook.empty() && v.thaw_hook.empty()) continue;
        steps.push_back({v.group + "/" + v.volume,
                         v.freeze_hook,
                         v.thaw_hook,
                         {"THINVOL_VG=" + v.group, "THINVOL_VOLUME=" + v.volume},
                         v.hook_limit});
    }
    for (const VolumeToFreeze& v : volumes) {
        for (const std::string& point : v.mount_points) {
            Step step{point};
            step.mount = UniqueFd(::open(point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            if (!step.mount)
                return Error(Errc::io_error,
                             fmt::format("freezing {}: {}", point, std::strerror(errno)));
            steps.push_back(std::move(step));
        }
    }
    return steps;
}

bool holds(const std::string& mount_point, const std::filesystem::path& path) {
    struct stat one{}, other{};
    return ::stat(mount_point.c_str(), &one) == 0 && ::stat(path.c_str(), &other) == 0 &&
           one.st_dev == other.st_dev;
}

// Asks no server: it may be waiting for what is to be frozen. The file system that this process
// itself writes to is not frozen, it would wait for itself.
Result<VolumeToFreeze> to_freeze(Session& session, const GroupRow& group, const ThinRow& volume,
                                 std::vector<std::string>& warnings) {
    const Config config = TRY(Config::load(session, group.id, volume.pool_id, volume.lv.id));
    VolumeToFreeze one{group.name,
                       volume.lv.name,
                       config.value("hooks.freeze"),
                       config.value("hooks.thaw"),
                       std::chrono::seconds(config.number("hooks.timeout")),
                       {}};
    std::error_code none;
    const std::string node = std::filesystem::read_symlink(
        session.environment.device_link(group.name, volume.lv.name), none);
    if (none) return one;
    for (const std::string& point : file_systems_on(node)) {
        if (!holds(point, session.environment.state_dir)) one.mount_points.push_back(point);
        else warnings.push_back(fmt::format("{} holds the catalog, and is not frozen.", point));
    }
    return one;
}

}  // namespace

FrozenVolumes::FrozenVolumes(std::vector<Step> steps, std::unique_ptr<Marks> begun)
    : steps_(std::move(steps)), begun_(std::move(begun)) {}

FrozenVolumes::FrozenVolumes(FrozenVolumes&& other) noexcept
    : steps_(std::move(other.steps_)),
      begun_(std::move(other.begun_)),
      orders_(std::move(other.orders_)),
      reports_(std::move(other.reports_)),
      guardian_(std::exchange(other.guardian_, -1)) {}

FrozenVolumes::~FrozenVolumes() { ignore(thaw(), "whoever wants to know called it before"); }

Result<> FrozenVolumes::start_guardian() {
    std::array<int, 2> orders{}, reports{};
    if (::pipe2(orders.data(), O_CLOEXEC) != 0)
        return Error(Errc::io_error, fmt::format("pipe: {}", std::strerror(errno)));
    const UniqueFd orders_end(orders[0]);
    orders_ = UniqueFd(orders[1]);
    if (::pipe2(reports.data(), O_CLOEXEC) != 0)
        return Error(Errc::io_error, fmt::format("pipe: {}", std::strerror(errno)));
    reports_ = UniqueFd(reports[0]);
    const UniqueFd reports_end(reports[1]);
    const pid_t child = ::fork();
    if (child < 0) return Error(Errc::io_error, fmt::format("fork: {}", std::strerror(errno)));
    if (child == 0) {
        orders_.reset();
        reports_.reset();
        guard(steps_, *begun_, orders_end.get(), reports_end.get());
    }
    guardian_ = child;
    return {};
}

Result<FrozenVolumes> FrozenVolumes::freeze(const std::vector<VolumeToFreeze>& volumes) {
    std::vector<Step> steps = TRY(steps_of(volumes));
    const std::size_t n = steps.size();
    FrozenVolumes frozen(std::move(steps), n == 0 ? nullptr : Marks::make(n));
    if (n == 0) return frozen;
    if (!frozen.begun_)
        return Error(Errc::io_error, fmt::format("memory: {}", std::strerror(errno)));
    TRY(frozen.start_guardian());
    char first = 0;
    ssize_t got = 0;
    while ((got = ::read(frozen.reports_.get(), &first, 1)) < 0 && errno == EINTR) {}
    if (got == 1 && first == all_frozen) return frozen;
    if (got < 1) return Error(Errc::io_error, "the process that freezes was killed");
    return Error(Errc::io_error, std::string(1, first) + read_all(frozen.reports_.get()));
}

Result<> FrozenVolumes::thaw() {
    const pid_t guardian = std::exchange(guardian_, -1);
    if (guardian < 0) return {};
    orders_.reset();
    const std::string problem = read_all(reports_.get());
    int status = 0;
    while (::waitpid(guardian, &status, 0) < 0 && errno == EINTR) {}
    if (status != 0) return thaw_begun(steps_, *begun_);
    return problem.empty() ? Result<>() : Error(Errc::io_error, problem);
}

Result<VolumeResult> create_frozen(Session& session, const GroupRow& group, const PoolRow& pool,
                                   const MakeVolumesRequest& wanted, bool freeze) {
    std::vector<VolumeToFreeze> volumes;
    std::vector<std::string> warnings;
    for (const auto& one : wanted.volumes) {
        if (!freeze || session.environment.rehearsal) break;
        const ThinRow origin = TRY(session.catalog.thin(one.origin_id));
        volumes.push_back(TRY(to_freeze(session, group, origin, warnings)));
    }
    FrozenVolumes frozen = TRY(FrozenVolumes::freeze(volumes));
    auto made = create_volumes(session, group, pool, wanted);
    auto thawed = frozen.thaw();
    if (!thawed && made)
        return Error(Errc::io_error,
                     fmt::format("{} was made, but what was frozen for it stays so: "
                                 "{}",
                                 fmt::join(made->names, ", "), thawed.error().text));
    if (!thawed) return Error(made.error().code, made.error().text + "; " + thawed.error().text);
    if (made) made->warnings.insert(made->warnings.end(), warnings.begin(), warnings.end());
    return made;
}

}  // namespace thinvol
