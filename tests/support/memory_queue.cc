#include "tests/support/memory_queue.h"

#include <cstring>

namespace thinvol {

bool MemoryQueue::submit(Request& request) {
    request.outcome = check_range(*this, request);
    if (!request.outcome || request.op == Op::flush) return true;
    std::byte* at = bytes_.data() + to_bytes(request.at).n;
    if (request.op == Op::discard || request.op == Op::write_zeroes) {
        std::memset(at, 0, to_bytes(request.length).n);
        return true;
    }
    for (const iovec& part : request.data) {
        if (request.op == Op::read) std::memcpy(part.iov_base, at, part.iov_len);
        else std::memcpy(at, part.iov_base, part.iov_len);
        at += part.iov_len;
    }
    return true;
}

}  // namespace thinvol
