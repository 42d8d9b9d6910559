// S15: transfers that stop short, are interrupted or fail, at each call that FileQueue makes. The
// calls are caught on their way to libc, which carries them out, and to liburing.
#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/file_queue.h"
#include "tests/prove/rows.h"
#include "tests/support/judges.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

enum class Trick { stops_short, is_interrupted, fails };

// The nth call from now on.
struct Seam {
    std::uint64_t in = 0;  // 0: none
    Trick trick = Trick::fails;
    bool spent = false;
    bool now() {
        if (in == 0 || --in > 0) return false;
        return spent = true;
    }
} seam;

// Of a transfer: half of its first part, at least a byte.
iovec half_of(const iovec& part) {
    return {part.iov_base, std::max<std::size_t>(1, part.iov_len / 2)};
}

template <class Call>
ssize_t transferred(const iovec* parts, int count, Call&& call) {
    if (!seam.now()) return call(parts, count);
    if (seam.trick == Trick::stops_short) {
        const iovec half = half_of(parts[0]);
        return call(&half, 1);
    }
    errno = seam.trick == Trick::is_interrupted ? EINTR : EIO;
    return -1;
}

}  // namespace
}  // namespace thinvol

extern "C" {

ssize_t preadv(int fd, const iovec* parts, int count, off_t at) {
    return thinvol::transferred(parts, count, [&](const iovec* p, int n) {
        return static_cast<ssize_t>(::syscall(SYS_preadv, fd, p, n, at, 0L));
    });
}

ssize_t pwritev2(int fd, const iovec* parts, int count, off_t at, int flags) {
    return thinvol::transferred(parts, count, [&](const iovec* p, int n) {
        return static_cast<ssize_t>(::syscall(SYS_pwritev2, fd, p, n, at, 0L, flags));
    });
}

// What is prepared is seen by the kernel here.
int io_uring_submit(io_uring* ring) {
    static iovec half;
    using Submit = int (*)(io_uring*);
    static const auto submit = reinterpret_cast<Submit>(::dlsym(RTLD_NEXT, "io_uring_submit"));
    for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; ++i) {
        io_uring_sqe& sqe = ring->sq.sqes[i & *ring->sq.kring_mask];
        const bool transfers = sqe.opcode == IORING_OP_READV || sqe.opcode == IORING_OP_WRITEV;
        if (!transfers || !thinvol::seam.now()) continue;
        if (thinvol::seam.trick == thinvol::Trick::fails) {
            sqe.fd = -1;
            continue;
        }
        half = thinvol::half_of(*reinterpret_cast<const iovec*>(sqe.addr));
        sqe.addr = reinterpret_cast<std::uint64_t>(&half);
        sqe.len = 1;
    }
    return submit(ring);
}

}  // extern "C"

namespace thinvol {
namespace {

constexpr Sectors file_size{512};

// Random requests of several parts, against a copy in memory.
class FileRun {
public:
    FileRun(const std::string& path, Ring* ring, std::uint64_t seed) : random_(seed) {
        UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        ASSERT(fd && ::ftruncate(fd.get(), static_cast<off_t>(to_bytes(file_size).n)) == 0);
        FileOptions options{};
        options.granule = Sectors(1);
        options.size = file_size;
        options.ring = ring;
        queue_ = std::make_unique<FileQueue>(std::move(fd), path, options);
    }
    std::string run(int requests) {
        for (int i = 0; i < requests && wrong_.empty(); ++i) request();
        if (wrong_.empty()) read_everything();
        return wrong_;
    }

private:
    void request() {
        Request r;
        const std::uint64_t kind = random_.below(8);
        r.op = kind < 3 ? Op::read : kind < 7 ? Op::write : Op::flush;
        r.fua = kind == 6;
        r.at = Sector(random_.below(file_size.n - 8));
        r.length = Sectors(1 + random_.below(7));
        std::vector<std::byte> bytes(to_bytes(r.length).n);
        const auto mark = static_cast<std::byte>(random_.below(256));
        if (r.op == Op::write) std::fill(bytes.begin(), bytes.end(), mark);
        const std::size_t cut = sector_bytes * random_.below(r.length.n);
        const iovec parts[] = {{bytes.data(), cut}, {bytes.data() + cut, bytes.size() - cut}};
        if (r.op != Op::flush) r.data = cut == 0 ? std::span(parts).last(1) : std::span(parts);
        else r.length = Sectors(0);
        bool done = false;
        r.owner = &done;
        r.done = [](Request& finished) { *static_cast<bool*>(finished.owner) = true; };
        const std::uint64_t at = to_bytes(r.at).n;
        if (!queue_->submit(r))
            while (!done) queue_->poll(true);
        judge(r, at, bytes);
    }
    void read_everything() {
        std::vector<std::byte> all(to_bytes(file_size).n);
        if (auto outcome = read_now(*queue_, Sector(0), all); !outcome) return;
        for (std::size_t i = 0; i < all.size(); ++i)
            if (known_[i] && all[i] != model_[i]) wrong_ = fmt::format("byte {} is wrong", i);
    }
    void judge(const Request& r, std::uint64_t at, const std::vector<std::byte>& bytes) {
        if (!r.outcome) {
            ++errors_;
            if (!seam.spent || seam.trick != Trick::fails || errors_ > 1)
                wrong_ = "a request failed: " + r.outcome.error().text;
            if (r.op == Op::write)
                std::fill_n(known_.begin() + static_cast<long>(at), bytes.size(), false);
            return;
        }
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            if (r.op == Op::write) model_[at + i] = bytes[i], known_[at + i] = true;
            else if (r.op == Op::read && known_[at + i] && model_[at + i] != bytes[i])
                wrong_ = fmt::format("byte {} reads as {}, not {}", at + i,
                                     static_cast<int>(bytes[i]), static_cast<int>(model_[at + i]));
        }
        if (seam.spent && seam.trick == Trick::fails && !said_ && errors_ == 0)
            wrong_ = "a call failed, and no request did";
        said_ = seam.spent;
    }

    Random random_;
    std::unique_ptr<FileQueue> queue_;
    std::vector<std::byte> model_ = std::vector<std::byte>(to_bytes(file_size).n);
    std::vector<bool> known_ = std::vector<bool>(to_bytes(file_size).n, true);
    int errors_ = 0;
    bool said_ = false;
    std::string wrong_;
};

}  // namespace

Outcome short_transfers_go_on(const Budget& budget) {
    Outcome outcome;
    auto ring = Ring::open(8);
    if (!ring) {
        outcome.skipped = ring.error().text;
        return outcome;
    }
    const TemporaryDirectory dir;
    const std::string path = (dir.path() / "file").string();
    for_cases(budget, 0, outcome, [&](std::uint64_t number) {
        for (const bool with_ring : {false, true}) {
            for (const Trick trick : {Trick::stops_short, Trick::is_interrupted, Trick::fails}) {
                if (with_ring && trick == Trick::is_interrupted) continue;
                for (std::uint64_t n = 1; outcome.failure.empty(); ++n) {
                    seam = {n, trick, false};
                    FileRun run(path, with_ring ? ring->get() : nullptr, number);
                    const std::string wrong = run.run(30);
                    if (!wrong.empty())
                        outcome.failure =
                            fmt::format("--replay {}, call {}, trick {}{}: {}", number, n,
                                        static_cast<int>(trick), with_ring ? ", ring" : "", wrong);
                    if (!std::exchange(seam.spent, false)) break;
                    ++outcome.executed;
                    outcome.distinct.insert(number << 32 | n << 8 |
                                            static_cast<std::uint64_t>(trick) << 1 |
                                            (with_ring ? 1 : 0));
                }
                seam.in = 0;
            }
        }
    });
    return outcome;
}

}  // namespace thinvol
