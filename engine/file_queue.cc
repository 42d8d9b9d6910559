#include "engine/file_queue.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>

namespace thinvol {
namespace {

// Reads of tmpfs never wait, though it may not know RWF_NOWAIT.
bool is_in_memory(int fd) {
    struct statfs fs{};
    return ::fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

bool cannot_punch(int error) { return error == EOPNOTSUPP || error == ENOSYS || error == ENODEV; }

constexpr std::size_t most_parts = 64;
constexpr std::uint64_t zero_bytes = 1 << 20;
constexpr std::uint64_t page = 4096;
alignas(page) std::byte zeroes[zero_bytes];  // never written; in .bss

// Drops the first n bytes of a scatter list.
void skip(std::vector<iovec>& parts, std::uint64_t n) {
    std::size_t whole = 0;
    while (whole < parts.size() && n >= parts[whole].iov_len) n -= parts[whole++].iov_len;
    parts.erase(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(whole));
    if (parts.empty()) return;
    parts.front().iov_base = static_cast<std::byte*>(parts.front().iov_base) + n;
    parts.front().iov_len -= n;
}

struct AlignedBytes {
    explicit AlignedBytes(std::uint64_t n)
        : bytes(static_cast<std::byte*>(::operator new(n, std::align_val_t(page)))) {}
    AlignedBytes(const AlignedBytes&) = delete;
    AlignedBytes& operator=(const AlignedBytes&) = delete;
    ~AlignedBytes() { ::operator delete(bytes, std::align_val_t(page)); }
    std::byte* bytes;
};

// What O_DIRECT cannot take as it lies in memory goes through aligned memory.
class Bounce {
public:
    explicit Bounce(const Request& request) : bytes_(to_bytes(request.length).n) {
        if (request.op != Op::write) return;
        std::byte* into = bytes_.bytes;
        for (const iovec& part : request.data)
            into = std::copy_n(static_cast<std::byte*>(part.iov_base), part.iov_len, into);
    }
    iovec whole(const Request& request) const { return {bytes_.bytes, to_bytes(request.length).n}; }
    void deliver(const Request& request) const {
        if (request.op != Op::read) return;
        const std::byte* from = bytes_.bytes;
        for (const iovec& part : request.data) {
            std::memcpy(part.iov_base, from, part.iov_len);
            from += part.iov_len;
        }
    }

private:
    AlignedBytes bytes_;
};

}  // namespace

// A request on its way through the ring; short transfers go on where they stopped.
struct FileQueue::Operation : RingOperation {
    FileQueue* queue = nullptr;
    Request* request = nullptr;
    std::vector<iovec> parts;
    std::uint64_t at = 0;
    std::unique_ptr<Bounce> bounce;
    std::uint64_t covers = 0;  // a flush: what was written before it began
};

FileQueue::FileQueue(UniqueFd fd, std::string path, const FileOptions& options)
    : fd_(std::move(fd)),
      path_(std::move(path)),
      options_(options),
      written_(std::make_shared<Count>(options.unflushed ? 1 : 0)) {}

FileQueue::~FileQueue() { ASSERT(in_flight_ == 0); }

Result<std::unique_ptr<FileQueue>> FileQueue::sibling(Ring* ring) const {
    UniqueFd fd(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
    if (!fd) return error_of("open again", errno);
    FileOptions options = options_;
    options.ring = ring;
    auto queue = std::make_unique<FileQueue>(std::move(fd), path_, options);
    queue->written_ = written_;
    return queue;
}

Error FileQueue::error_of(const char* what, int number) const {
    const Errc code = number == ENOSPC || number == EDQUOT ? Errc::out_of_space : Errc::io_error;
    return {code, fmt::format("{} {}: {}", what, path_, std::strerror(number))};
}

Error FileQueue::ends_at(std::uint64_t at) const {
    return {Errc::io_error, fmt::format("{}: the file ends at byte {}", path_, at)};
}

bool FileQueue::submit(Request& request) {
    request.outcome = check_range(*this, request);
    if (!request.outcome) return true;
    // (1) Not for one that is still in flight: another device on this file may ask meanwhile.
    if (request.op == Op::flush && flushed_ == *written_ && !flush_failed_) return true;
    if (request.op == Op::read && !options_.direct && read_cached(request)) return true;
    const bool small_zero =
        request.op == Op::write_zeroes && to_bytes(request.length).n <= zero_bytes;
    const bool page_cache_write =
        !options_.direct && !request.fua && (request.op == Op::write || small_zero);
    const bool asynchronous = options_.ring != nullptr && !page_cache_write &&
                              request.op != Op::write_zeroes && !flush_failed_;
    if (!asynchronous) return run_now(request);
    start(request);
    return false;
}

// A block device answers EINVAL, or that everything is data.
Sectors FileQueue::zeroes_at(Sector at, Sectors most) {
    const std::uint64_t begin = to_bytes(at).n;
    const off_t data = ::lseek(fd_.get(), static_cast<off_t>(begin), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return most;  // a hole up to the file's end
    if (data < 0) return Sectors(0);
    return std::min(most, Sectors((static_cast<std::uint64_t>(data) - begin) / sector_bytes));
}

// What is in the page cache is read at once; false when the device would have to be waited for.
bool FileQueue::read_cached(Request& request) {
    if (cached_reads_ == CachedReads::none || options_.ring == nullptr) return false;
    if (cached_reads_ == CachedReads::plain) {
        request.outcome = transfer(request);
        return true;
    }
    const ssize_t n =
        ::preadv2(fd_.get(), request.data.data(), static_cast<int>(request.data.size()),
                  static_cast<off_t>(to_bytes(request.at).n), RWF_NOWAIT);
    if (n < 0 && errno == EOPNOTSUPP) {
        cached_reads_ = is_in_memory(fd_.get()) ? CachedReads::plain : CachedReads::none;
        return read_cached(request);
    }
    return n == static_cast<ssize_t>(to_bytes(request.length).n);
}

bool FileQueue::needs_bounce(const Request& request) const {
    if (!options_.direct) return false;
    const std::uint64_t mask =
        std::max<std::uint64_t>(to_bytes(options_.granule).n, sector_bytes) - 1;
    return std::any_of(request.data.begin(), request.data.end(), [&](const iovec& part) {
        return ((reinterpret_cast<std::uintptr_t>(part.iov_base) | part.iov_len) & mask) != 0;
    });
}

// --- on the spot ---------------------------------------------------------------------------------

bool FileQueue::run_now(Request& request) {
    switch (request.op) {
        case Op::read:
        case Op::write: request.outcome = transfer(request); break;
        case Op::flush: request.outcome = flush_file(); break;
        case Op::discard: request.outcome = punch(request); break;
        case Op::write_zeroes: request.outcome = zero(request.at, request.length); break;
    }
    note_written(request);
    return true;
}

void FileQueue::note_written(const Request& request) {
    if (request.op == Op::read || request.op == Op::flush) return;
    if (request.fua) ++flushes_;
    else ++*written_;
}

Result<> FileQueue::transfer(const Request& request) {
    const bool reading = request.op == Op::read;
    std::optional<Bounce> bounce;
    iovec whole{};
    std::span<const iovec> parts = request.data;
    if (needs_bounce(request)) {
        whole = bounce.emplace(request).whole(request);
        parts = {&whole, 1};
    }
    std::vector<iovec> rest;  // after a short transfer
    std::uint64_t at = to_bytes(request.at).n;
    while (!parts.empty()) {
        const int count = static_cast<int>(std::min(parts.size(), most_parts));
        const auto offset = static_cast<off_t>(at);
        const ssize_t n = reading ? ::preadv(fd_.get(), parts.data(), count, offset)
                                  : ::pwritev2(fd_.get(), parts.data(), count, offset,
                                               request.fua ? RWF_DSYNC : 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return error_of(reading ? "read" : "write", errno);
        if (n == 0) return ends_at(at);
        at += static_cast<std::uint64_t>(n);
        if (at == to_bytes(request.at + request.length).n) break;
        if (rest.empty()) rest.assign(parts.begin(), parts.end());
        skip(rest, static_cast<std::uint64_t>(n));
        parts = rest;
    }
    if (bounce) bounce->deliver(request);
    return {};
}

Result<> FileQueue::flush_file() {
    if (flush_failed_)
        return Error(Errc::io_error,
                     fmt::format("flush {}: an earlier flush failed", path_));  // (2)
    const std::uint64_t covers = *written_;
    ++flushes_;
    if (::fdatasync(fd_.get()) == 0) {
        flushed_ = std::max(flushed_, covers);
        return {};
    }
    flush_failed_ = true;
    return error_of("flush", errno);
}

// A hole in a file; on a device, zeroes that unmap. What knows neither may still know discards; and
// as those are hints, what knows none of them does nothing.
Result<> FileQueue::punch(const Request& request) {
    const auto at = static_cast<off_t>(to_bytes(request.at).n);
    const auto length = static_cast<off_t>(to_bytes(request.length).n);
    if (::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length) == 0)
        return {};
    if (cannot_punch(errno)) return discard_device(request);
    return error_of("discard", errno);
}

Result<> FileQueue::discard_device(const Request& request) {
    std::uint64_t range[2] = {to_bytes(request.at).n, to_bytes(request.length).n};
    if (::ioctl(fd_.get(), BLKDISCARD, range) == 0) return {};
    if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL) return {};
    return error_of("discard", errno);
}

Result<> FileQueue::zero(Sector at, Sectors length) {
    const auto offset = static_cast<off_t>(to_bytes(at).n);
    if (to_bytes(length).n > zero_bytes) {
        for (const int mode : {FALLOC_FL_ZERO_RANGE, FALLOC_FL_PUNCH_HOLE}) {
            if (::fallocate(fd_.get(), mode | FALLOC_FL_KEEP_SIZE, offset,
                            static_cast<off_t>(to_bytes(length).n)) == 0)
                return {};
            if (errno != EOPNOTSUPP && errno != ENOSYS && errno != ENODEV && errno != EINVAL)
                return error_of("zero", errno);
        }
    }
    while (length > Sectors(0)) {
        const Sectors step(std::min(length.n, to_sectors(Bytes(zero_bytes)).n));
        const iovec part{zeroes, to_bytes(step).n};
        Request write;
        write.op = Op::write;
        write.at = at;
        write.length = step;
        write.data = {&part, 1};
        TRY(transfer(write));
        at += step;
        length -= step;
    }
    return {};
}

// --- through the ring ----------------------------------------------------------------------------

void FileQueue::start(Request& request) {
    if (free_operations_.empty()) {
        operations_.push_back(std::make_unique<Operation>());
        free_operations_.push_back(operations_.back().get());
    }
    Operation& operation = *free_operations_.back();
    free_operations_.pop_back();
    ++in_flight_;
    operation.queue = this;
    operation.request = &request;
    operation.at = to_bytes(request.at).n;
    operation.complete = [](RingOperation& o, int result) {
        auto& self = static_cast<Operation&>(o);
        self.queue->advance(self, result);
    };
    if (request.op == Op::read || request.op == Op::write) {
        operation.parts.assign(request.data.begin(), request.data.end());
        if (needs_bounce(request)) {
            operation.bounce = std::make_unique<Bounce>(request);
            operation.parts = {operation.bounce->whole(request)};
        }
    }
    if (request.op == Op::flush) {
        operation.covers = *written_;  // what completes from now on is the next flush's
        ++flushes_;
    }
    send(operation);
}

void FileQueue::send(Operation& operation) {
    const Request& request = *operation.request;
    io_uring_sqe* sqe = options_.ring->prepare(operation);
    // Set by hand: the helpers of older liburing clear the user data that prepare() set.
    const auto user_data = sqe->user_data;
    const auto count = static_cast<unsigned>(std::min(operation.parts.size(), most_parts));
    switch (request.op) {
        case Op::read:
            io_uring_prep_readv(sqe, fd_.get(), operation.parts.data(), count, operation.at);
            break;
        case Op::write:
            io_uring_prep_writev2(sqe, fd_.get(), operation.parts.data(), count, operation.at,
                                  request.fua ? RWF_DSYNC : 0);
            break;
        case Op::flush: io_uring_prep_fsync(sqe, fd_.get(), IORING_FSYNC_DATASYNC); break;
        case Op::discard:
        case Op::write_zeroes:
            io_uring_prep_fallocate(sqe, fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                    static_cast<off_t>(operation.at),
                                    static_cast<off_t>(to_bytes(request.length).n));
            break;
    }
    sqe->user_data = user_data;
}

void FileQueue::advance(Operation& operation, int result) {
    Request& request = *operation.request;
    const bool transfers = request.op == Op::read || request.op == Op::write;
    if (result == -EINTR || result == -EAGAIN) return send(operation);
    if (result < 0) {
        if (request.op == Op::discard && cannot_punch(-result))
            return finish(operation, discard_device(request));
        if (request.op == Op::flush) flush_failed_ = true;
        const char* what = request.op == Op::read    ? "read"
                           : request.op == Op::write ? "write"
                           : request.op == Op::flush ? "flush"
                                                     : "discard";
        return finish(operation, error_of(what, -result));
    }
    if (request.op == Op::flush) flushed_ = std::max(flushed_, operation.covers);
    if (!transfers) return finish(operation, {});
    if (result == 0) return finish(operation, ends_at(operation.at));
    operation.at += static_cast<std::uint64_t>(result);
    skip(operation.parts, static_cast<std::uint64_t>(result));
    if (!operation.parts.empty()) return send(operation);
    if (operation.bounce) operation.bounce->deliver(request);
    finish(operation, {});
}

void FileQueue::finish(Operation& operation, Result<> outcome) {
    Request& request = *operation.request;
    operation.bounce.reset();
    free_operations_.push_back(&operation);
    --in_flight_;
    note_written(request);
    request.outcome = std::move(outcome);
    request.done(request);
}

void FileQueue::poll(bool wait) {
    if (options_.ring == nullptr) return;
    options_.ring->submit();
    options_.ring->reap(wait && in_flight_ > 0);
}

}  // namespace thinvol
