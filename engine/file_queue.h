// FileQueue: a file or block device as a BlockQueue.
//
// What goes where was measured: on the page cache and tmpfs a plain call on the spot is three to
// four times cheaper than a ring, and a buffered write through a ring costs a hand-over to a
// worker. O_DIRECT, flushes and hole punching are what a ring is for. Without a ring (a short-lived
// command, or a sandbox that forbids io_uring) everything is done on the spot.
//
// Units       sectors of the file
// Invariants  (1) a flush is skipped only if nothing was written since one that succeeded in this
//                 object, by it or its siblings
//             (2) a flush that failed makes all later ones fail: what it covered may be lost
//             (3) the file never grows
// Errors      io_error with the path and the system's words; out_of_space for ENOSPC and EDQUOT
// Threads     one; siblings have others
// Source      fallocate(2), open(2) on O_DIRECT, pwritev2(2); "Can Applications Recover from fsync
//             Failures?"
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/unique_fd.h"
#include "engine/block_queue.h"
#include "engine/ring.h"

namespace thinvol {

struct FileOptions {
    bool direct = false;  // the descriptor was opened with O_DIRECT
    Sectors granule{1};   // what O_DIRECT wants offsets and lengths to be multiples of
    Sectors size{};
    Ring* ring = nullptr;   // null: on the spot
    bool unflushed = true;  // other processes may have left writes that a flush here must cover
};

class FileQueue : public BlockQueue {
public:
    FileQueue(UniqueFd fd, std::string path, const FileOptions& options);
    ~FileQueue() override;

    Sectors size() const override { return options_.size; }
    Sectors granule() const override { return options_.granule; }
    // Another thread's queue on the same descriptor. Flushes are to be asked for here.
    Result<std::unique_ptr<FileQueue>> sibling(Ring* ring) const;

    bool submit(Request& request) override;
    // Holes of a file, preallocated or not.
    Sectors zeroes_at(Sector at, Sectors most) override;
    void poll(bool wait) override;
    std::size_t in_flight() const override { return in_flight_; }

    std::uint64_t flushes() const {
        return flushes_;
    }  // that reached the device, FUA writes included
    int fd() const { return fd_.get(); }
    // The file or device has become larger.
    void grow(Sectors size) { options_.size = std::max(options_.size, size); }

private:
    struct Operation;
    bool run_now(Request& request);
    void start(Request& request);
    void advance(Operation& operation, int result);
    void send(Operation& operation);
    void finish(Operation& operation, Result<> outcome);
    bool read_cached(Request& request);
    bool needs_bounce(const Request& request) const;
    Result<> transfer(const Request& request);
    Result<> zero(Sector at, Sectors length);
    Result<> punch(const Request& request);
    Result<> discard_device(const Request& request);
    Result<> flush_file();
    void note_written(const Request& request);
    Error error_of(const char* what, int number) const;
    Error ends_at(std::uint64_t at) const;

    UniqueFd fd_;
    std::string path_;
    FileOptions options_;
    using Count = std::atomic<std::uint64_t>;
    std::shared_ptr<Count> written_;  // requests that a flush has to cover, of all siblings
    std::uint64_t flushed_ = 0;       // as many of them as a flush that succeeded has covered
    bool flush_failed_ = false;
    enum class CachedReads { nowait, plain, none } cached_reads_ = CachedReads::nowait;
    std::uint64_t flushes_ = 0;
    std::size_t in_flight_ = 0;
    std::vector<std::unique_ptr<Operation>> operations_;
    std::vector<Operation*> free_operations_;
};

}  // namespace thinvol
