// Goal: memory is used again while it is needed, and given back when it is not.
// Method: buffers taken and dropped, and what is kept between.
#include "libvm/payload_buffers.h"

#include <catch2/catch_test_macros.hpp>
#include <cstdint>

namespace thinvol {

TEST_CASE("a buffer that was given back is taken again, aligned and large enough") {
    PayloadBuffers buffers;
    const std::byte* first = nullptr;
    {
        const PayloadBuffer b = buffers.take(1 << 20);
        first = b.bytes();
        CHECK(b.capacity() == 1 << 20);
        CHECK(reinterpret_cast<std::uintptr_t>(b.bytes()) % 4096 == 0);
    }
    CHECK(buffers.kept() == 1 << 20);
    const PayloadBuffer again = buffers.take((1 << 20) - 5);
    CHECK(again.bytes() == first);
    CHECK(buffers.kept() == 0);
    CHECK(buffers.take(1).capacity() == PayloadBuffers::least);
}

TEST_CASE("what nobody needed between two ticks goes, what is in use stays") {
    PayloadBuffers buffers;
    {
        const PayloadBuffer a = buffers.take(1 << 20);
        const PayloadBuffer b = buffers.take(1 << 20);
    }
    buffers.tick();
    CHECK(buffers.kept() == 2 << 20);
    { const PayloadBuffer one = buffers.take(1 << 20); }
    buffers.tick();
    CHECK(buffers.kept() == 1 << 20);
    buffers.tick();
    CHECK(buffers.kept() == 0);
}

TEST_CASE("no more than the limit is kept") {
    PayloadBuffers buffers;
    {
        std::vector<PayloadBuffer> many;
        for (int i = 0; i < 5; ++i) many.push_back(buffers.take(32 << 20));
    }
    CHECK(buffers.kept() <= PayloadBuffers::kept_max);
}

}  // namespace thinvol
