// PoolFixture: a pool with one open volume over devices in memory, driven by hand.
//
// Units       data blocks of 64 KiB
// Invariants  the pool rests between two calls: nothing goes on by itself
// Errors      fails the running test
// Threads     one
// Source      none
#pragma once

#include <algorithm>
#include <chrono>

#include "engine/pool.h"
#include "engine/run_now.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {

inline constexpr Sectors block{128};
inline constexpr Bytes block_bytes{64 << 10};
inline constexpr std::uint64_t volume_blocks = 4096;

struct PoolFixture {
    explicit PoolFixture(const PoolFeatures& features = {}, std::uint64_t data_blocks = 16,
                         std::uint64_t metadata_blocks = 160)
        : md(to_sectors(Bytes(metadata_blocks * metadata_block_bytes))), data(block * data_blocks) {
        pool = must(Pool::create(md, data, block, {features}));
        pool->on_event([this](const PoolEvent& e) { events.push_back(e); });
        must(operation(CreateThin{ThinId::checked(0)}));
        volume = must(
            pool->open_volume(ThinId::checked(0), Bytes(volume_blocks * block_bytes.n), false));
    }
    Result<> operation(PoolOperation op) {
        const TransactionId id = pool->status().transaction_id;
        return apply_now(*pool, {std::move(op)}, id, id);
    }
    // Starts a request; its buffer is of the whole range.
    struct Started {
        IoRequest request;
        std::vector<std::byte> buffer;
        bool done = false;
    };
    std::unique_ptr<Started> start(IoKind kind, std::uint64_t at, std::uint64_t blocks = 1) {
        auto s = std::make_unique<Started>();
        s->buffer.assign(blocks * block_bytes.n, std::byte{7});
        s->request.kind = kind;
        s->request.volume = volume;
        s->request.offset = ByteOffset(at * block_bytes.n);
        s->request.length = kind == IoKind::flush ? Bytes(0) : Bytes(blocks * block_bytes.n);
        s->request.buffer = s->buffer.data();
        s->request.owner = s.get();
        s->request.done = [](IoRequest& r) { static_cast<Started*>(r.owner)->done = true; };
        pool->submit(s->request);
        run();
        return s;
    }
    void run() {
        pool->run_until([] { return false; });
    }
    void tick(int seconds) {
        for (int i = 0; i < seconds; ++i) pool->tick(now += std::chrono::seconds(1));
        run();
    }
    void fill_data() {
        while (pool->status().data_used < pool->status().data_size)
            REQUIRE(start(IoKind::write, next++)->request.outcome.has_value());
    }
    std::size_t count(PoolEvent::Kind kind) const {
        return static_cast<std::size_t>(std::count_if(
            events.begin(), events.end(), [&](const PoolEvent& e) { return e.kind == kind; }));
    }

    MemoryQueue md;
    MemoryQueue data;
    std::unique_ptr<Pool> pool;
    Volume* volume = nullptr;
    std::vector<PoolEvent> events;
    std::chrono::milliseconds now{1000};
    std::uint64_t next = 0;
};

// What came out: Errc{} for success.
inline Errc code_of(const Result<>& outcome) { return outcome ? Errc{} : outcome.error().code; }

}  // namespace thinvol
