#include "engine/delta.h"

#include "engine/leaf_cursor.h"

namespace thinvol {
namespace {

using Kind = DeltaRun::Kind;

// Joins what can be one run (1).
class Runs {
public:
    explicit Runs(const DeltaSink& sink) : sink_(sink) {}
    Result<> add(Kind kind, VirtualBlock begin, DataBlock left, DataBlock right) {
        const bool joins = run_.length > 0 && run_.kind == kind &&
                           begin.n == run_.begin.n + run_.length &&
                           (kind == Kind::right_only || left.n == run_.left.n + run_.length) &&
                           (kind == Kind::left_only || right.n == run_.right.n + run_.length);
        if (joins) {
            ++run_.length;
            return {};
        }
        TRY(finish());
        run_ = {kind, begin, left, right, 1};
        return {};
    }
    Result<> finish() { return run_.length == 0 ? Result<>() : sink_(run_); }

private:
    const DeltaSink& sink_;
    DeltaRun run_;
};

}  // namespace

Result<> compare_volumes(BlockQueue& device, const Superblock& superblock, MetadataBlock left,
                         MetadataBlock right, const DeltaSink& sink) {
    constexpr std::size_t cached_blocks = 64;  // two paths; a shared leaf comes right after
    BlockCache cache(device, MetadataBlocks(superblock.metadata_space_map.blocks), cached_blocks);
    LeafCursor l(cache, left);
    LeafCursor r(cache, right);
    Runs runs(sink);
    for (;;) {
        TRY(l.settle());
        TRY(r.settle());
        if (l.at_end() && r.at_end()) break;
        if (!l.at_end() && !r.at_end() && l.together(r)) {
            for (; !l.done(); l.step(), r.step())
                TRY(runs.add(Kind::same, l.key(), l.block(), l.block()));
        } else if (r.at_end() || (!l.at_end() && l.key() < r.key())) {
            TRY(runs.add(Kind::left_only, l.key(), l.block(), {}));
            l.step();
        } else if (l.at_end() || r.key() < l.key()) {
            TRY(runs.add(Kind::right_only, r.key(), {}, r.block()));
            r.step();
        } else {
            const Kind kind = l.block() == r.block() ? Kind::same : Kind::different;
            TRY(runs.add(kind, l.key(), l.block(), r.block()));
            l.step();
            r.step();
        }
    }
    return runs.finish();
}

}  // namespace thinvol
