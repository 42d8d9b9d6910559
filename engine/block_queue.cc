#include "engine/block_queue.h"

#include <fmt/format.h>

namespace thinvol {
namespace {

Result<> run_now(BlockQueue& queue, Request& request) {
    bool done = false;
    request.owner = &done;
    request.done = [](Request& r) { *static_cast<bool*>(r.owner) = true; };
    if (!queue.submit(request)) {
        while (!done) queue.poll(true);
    }
    return std::move(request.outcome);
}

}  // namespace

Result<> check_range(const BlockQueue& queue, const Request& request) {
    if (request.op == Op::flush) return {};
    const std::uint64_t mask = queue.granule().n - 1;
    if (((request.at.n | request.length.n) & mask) != 0) {
        return Error(Errc::invalid_argument,
                     fmt::format("sector {} length {} is not aligned to {} sectors", request.at,
                                 request.length, queue.granule()));
    }
    if (request.length > queue.size() || request.at > end_of(queue.size() - request.length)) {
        return Error(Errc::invalid_argument,
                     fmt::format("sector {} length {} is outside the device of {}", request.at,
                                 request.length, queue.size()));
    }
    return {};
}

Result<> read_now(BlockQueue& queue, Sector at, std::span<std::byte> into) {
    const iovec part{into.data(), into.size()};
    Request request;
    request.op = Op::read;
    request.at = at;
    request.length = to_sectors(Bytes(into.size()));
    request.data = {&part, 1};
    return run_now(queue, request);
}

Result<> write_now(BlockQueue& queue, Sector at, std::span<const std::byte> from, bool fua) {
    const iovec part{const_cast<std::byte*>(from.data()), from.size()};
    Request request;
    request.op = Op::write;
    request.fua = fua;
    request.at = at;
    request.length = to_sectors(Bytes(from.size()));
    request.data = {&part, 1};
    return run_now(queue, request);
}

Result<> zero_now(BlockQueue& queue, Sector at, Sectors length) {
    Request request;
    request.op = Op::write_zeroes;
    request.at = at;
    request.length = length;
    return run_now(queue, request);
}

Result<> flush_now(BlockQueue& queue) {
    Request request;
    request.op = Op::flush;
    return run_now(queue, request);
}

}  // namespace thinvol
