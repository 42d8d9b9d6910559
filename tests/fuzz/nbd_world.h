// NbdWorld: what a client of a pool's server meets, all in memory: a pool, its exports, a reactor.
//
// Units       bytes
// Invariants  exports: "a" to be written, "b" read-only by its rules, `hidden` for nobody
// Errors      the process ends
// Threads     one
// Source      none
#pragma once

#include "engine/run_now.h"
#include "libvm/nbd_server.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/support/memory_queue.h"

namespace thinvol {

struct NbdWorld {
    static constexpr std::uint64_t metadata_blocks = 128;
    static constexpr std::uint64_t data_blocks = 6;
    static constexpr Bytes volume_bytes{4 * 65536 + 512};
    static constexpr const char* hidden = "for-nobody-at-all";

    NbdWorld()
        : md(to_sectors(Bytes(metadata_blocks * metadata_block_bytes))),
          data(data_block_min * data_blocks) {
        MetadataOptions small;
        small.cache_blocks = 64;
        small.mapping_cache = Bytes(1 << 16);
        PoolFeatures features;
        features.error_if_no_space = true;    // there is no clock here to end a wait
        static std::vector<std::byte> fresh;  // metadata with the three volumes
        if (fresh.empty()) {
            pool = must(Pool::create(md, data, data_block_min, {features, small}));
            for (std::uint32_t id = 0; id < 3; ++id)
                must(apply_now(*pool, {CreateThin{ThinId::checked(id)}}, {}, {}));
            fresh = md.bytes();
        }
        md.bytes() = fresh;
        pool = must(Pool::open(md, data, {features, small}));
        server = std::make_unique<NbdServer>(reactor, *pool);
        add(0, "a", "");
        add(1, "b", "all=ro");
        add(2, hidden, "uid:4000000000=rw");
    }
    void add(std::uint32_t id, const char* name, const char* rules) {
        ThinRow row;
        row.lv.id = id + 1;
        row.lv.name = name;
        row.thin_id = ThinId::checked(id);
        row.size = volume_bytes;
        NbdPolicy policy;
        policy.access = must(NbdAccess::parse(rules));
        must(server->add(row, std::move(policy)));
    }

    MemoryQueue md;
    MemoryQueue data;
    std::unique_ptr<Pool> pool;
    Reactor reactor;
    std::unique_ptr<NbdServer> server;
};

}  // namespace thinvol
