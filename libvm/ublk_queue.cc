#include "libvm/ublk_queue.h"

#include <fmt/format.h>
#include <liburing.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "engine/base/assert.h"

namespace thinvol {
namespace {

constexpr std::uint8_t logical_shift = 9;    // whatever a partition table was written for
constexpr std::uint8_t physical_shift = 12;  // smaller writes read first
constexpr Bytes discard_max{1ULL << 30};
constexpr Bytes write_zeroes_max{32ULL << 20};  // of which all may have to be written

bool has_data(IoKind kind) { return kind == IoKind::read || kind == IoKind::write; }

std::uint8_t shift_of(std::uint64_t bytes) {
    return static_cast<std::uint8_t>(std::countr_zero(bytes));
}

std::uint32_t sectors_in(Bytes bytes) { return static_cast<std::uint32_t>(bytes.n / sector_bytes); }

// All of it, to or from the character device.
template <class Transfer>
bool move_all(Transfer&& transfer, std::uint64_t length) {
    for (std::uint64_t done = 0; done < length;) {
        const ssize_t n = transfer(done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += static_cast<std::uint64_t>(n);
    }
    return true;
}

}  // namespace

ublk::Parameters ublk_parameters(const DiskGeometry& disk) {
    ublk::Parameters p;
    p.types = ublk::type_basic | ublk::type_discard;
    p.attributes = ublk::attribute_volatile_cache | ublk::attribute_fua |
                   (disk.read_only ? ublk::attribute_read_only : 0);
    p.logical_block_shift = logical_shift;
    p.physical_block_shift = physical_shift;
    p.io_least_shift = physical_shift;
    // A power of two, which a data block need not be.
    p.io_optimal_shift = shift_of(disk.data_block.n);
    p.sectors_max = sectors_in(disk.io_max);
    p.device_sectors = disk.size.n / sector_bytes;
    p.discard_granularity = static_cast<std::uint32_t>(disk.data_block.n);
    p.discard_sectors_max = sectors_in(discard_max);
    p.write_zeroes_sectors_max = sectors_in(write_zeroes_max);
    p.discard_segments_max = 1;
    return p;
}

bool translate(const ublk::IoDescriptor& descriptor, IoRequest& request) {
    request.fua = (descriptor.op_flags & ublk::io_fua) != 0;
    request.offset = ByteOffset(descriptor.start_sector * sector_bytes);
    request.length = Bytes(std::uint64_t{descriptor.sectors} * sector_bytes);
    switch (static_cast<ublk::Op>(descriptor.op_flags & 0xff)) {
        case ublk::Op::read: request.kind = IoKind::read; return true;
        case ublk::Op::write: request.kind = IoKind::write; return true;
        case ublk::Op::flush:
            request.kind = IoKind::flush;
            request.offset = ByteOffset(0);
            request.length = Bytes(0);
            return true;
        case ublk::Op::discard: request.kind = IoKind::discard; return true;
        case ublk::Op::write_zeroes:
            request.kind = IoKind::write_zeroes;
            request.keep_allocated = (descriptor.op_flags & ublk::io_no_unmap) != 0;
            return true;
    }
    return false;
}

UblkQueue::UblkQueue(NbdClients& thread, NbdExport& exported, int device, std::uint16_t number,
                     const Options& options)
    : thread_(thread), exported_(exported), device_(device), number_(number), options_(options) {}

Result<std::unique_ptr<UblkQueue>> UblkQueue::open(NbdClients& thread, NbdExport& exported,
                                                   int device, std::uint16_t number,
                                                   const Options& options) {
    std::unique_ptr<UblkQueue> queue(new UblkQueue(thread, exported, device, number, options));
    TRY(queue->map());
    TRY(queue->fetch());
    thread.add(*queue);
    return queue;
}

Result<> UblkQueue::fetch() {
    ring_ = TRY(Ring::open(options_.depth));
    thread_.reactor().watch(ring_->event_fd(), EPOLLIN,
                            [ring = ring_.get()](std::uint32_t) { ring->acknowledge(); });
    for (std::uint16_t tag = 0; tag < options_.depth; ++tag) {
        Slot& slot = *slots_.emplace_back(std::make_unique<Slot>());
        slot.queue = this;
        slot.tag = tag;
        slot.complete = [](RingOperation& operation, int result) {
            auto& s = static_cast<Slot&>(operation);
            s.queue->received(s, result);
        };
        if (!options_.user_copy) slot.own = AlignedBuffer(options_.io_max.n);
        send(slot, ublk::Io::fetch, 0);
    }
    run_once(false);
    if (fetching_ == options_.depth) return {};
    return Error(Errc::io_error, "the driver refuses the queue's commands");
}

UblkQueue::~UblkQueue() {
    ASSERT(serving_ == 0);
    thread_.remove(*this);
    if (ring_) thread_.reactor().forget(ring_->event_fd());
    ring_.reset();
    if (descriptors_ != nullptr) ::munmap(const_cast<ublk::IoDescriptor*>(descriptors_), mapped_);
}

Result<> UblkQueue::map() {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    mapped_ = (options_.depth * sizeof(ublk::IoDescriptor) + page - 1) / page * page;
    const std::size_t all = (ublk::depth_max * sizeof(ublk::IoDescriptor) + page - 1) / page * page;
    void* at = ::mmap(nullptr, mapped_, PROT_READ, MAP_SHARED | MAP_POPULATE, device_,
                      static_cast<off_t>(all * number_));
    if (at == MAP_FAILED)
        return Error(Errc::io_error,
                     fmt::format("mapping the queue of a ublk device: {}", std::strerror(errno)));
    descriptors_ = static_cast<const ublk::IoDescriptor*>(at);
    return {};
}

void UblkQueue::send(Slot& slot, ublk::Io command, std::int32_t result) {
    ublk::IoCommand what;
    what.queue = number_;
    what.tag = slot.tag;
    what.result = result;
    if (!options_.user_copy) what.address = reinterpret_cast<std::uint64_t>(slot.own.bytes());
    io_uring_sqe* sqe = ring_->prepare(slot);
    const auto user_data = sqe->user_data;
    const auto code = static_cast<std::uint32_t>(command);
    io_uring_prep_rw(IORING_OP_URING_CMD, sqe, device_, nullptr, 0, 0);
    sqe->cmd_op = options_.legacy ? ublk::legacy(code) : code;
    std::memcpy(sqe->cmd, &what, sizeof what);
    sqe->user_data = user_data;
    ++fetching_;
}

void UblkQueue::received(Slot& slot, int result) {
    progress_ = true;
    --fetching_;
    if (result == 0) begin(slot);  // otherwise the device was stopped: (2)
}

void UblkQueue::begin(Slot& slot) {
    ++serving_;
    slot.io = IoRequest{};
    slot.io.volume = exported_.volume;
    slot.io.waits_for_space = options_.waits_for_space;
    slot.io.owner = &slot;
    slot.io.done = [](IoRequest& r) {
        auto& s = *static_cast<Slot*>(r.owner);
        s.queue->answer(s);
    };
    const ublk::IoDescriptor& descriptor = descriptors_[slot.tag];
    if (!translate(descriptor, slot.io) ||
        (has_data(slot.io.kind) && slot.io.length > options_.io_max)) {
        slot.io.outcome = Error(Errc::unsupported, "an operation that is unknown");
        return answer(slot);
    }
    if (has_data(slot.io.kind)) {
        if (options_.user_copy) slot.borrowed = thread_.buffers().take(slot.io.length.n);
        slot.io.buffer = options_.user_copy ? slot.borrowed.bytes() : slot.own.bytes();
    }
    const std::uint64_t at = ublk::data_offset(number_, slot.tag);
    const bool fetched =
        slot.io.kind != IoKind::write || !options_.user_copy ||
        move_all(
            [&](std::uint64_t done) {
                return ::pread(device_, slot.io.buffer + done, slot.io.length.n - done,
                               static_cast<off_t>(at + done));
            },
            slot.io.length.n);
    if (!fetched) {
        slot.io.outcome = Error(Errc::io_error, "the driver keeps the data");
        return answer(slot);
    }
    thread_.submit(slot.io);
}

void UblkQueue::answer(Slot& slot) {
    const IoRequest& io = slot.io;
    const std::uint64_t at = ublk::data_offset(number_, slot.tag);
    std::int32_t result = 0;
    if (!io.outcome) result = -errno_of(io.outcome.error().code);
    else if (has_data(io.kind)) result = static_cast<std::int32_t>(io.length.n);
    if (result > 0 && io.kind == IoKind::read && options_.user_copy &&
        !move_all(
            [&](std::uint64_t done) {
                return ::pwrite(device_, io.buffer + done, io.length.n - done,
                                static_cast<off_t>(at + done));
            },
            io.length.n))
        result = -EIO;
    if (result >= 0) exported_.count(io, thread_.number());
    slot.borrowed = {};
    --serving_;
    send(slot, ublk::Io::commit_and_fetch, result);
    progress_ = true;
}

bool UblkQueue::run_once(bool paused) {
    ring_->submit();
    if (!paused) ring_->reap(false);
    ring_->submit();
    return std::exchange(progress_, false);
}

}  // namespace thinvol
