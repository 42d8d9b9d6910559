// Goal: an operation that was begun can be finished or undone from its record alone, any number of
// times, and a record that contradicts itself is corrupt.
// Method: each operation there and back; malformed records; catalogs with pending rows, finished
// and undone twice.
#include "libvm/pool_operations.h"

#include "libvm/uuid.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

template <class Operation>
Operation there_and_back(Operation operation) {
    const RecordedOperation back = must(operation_from_json(to_json(RecordedOperation(operation))));
    REQUIRE(std::holds_alternative<Operation>(back));
    return std::get<Operation>(back);
}

ThinId thin(std::uint64_t n) { return ThinId::checked(n); }

struct Fixture {
    TemporaryDirectory dir;
    Catalog catalog = must(Catalog::open([&] {
        Environment environment;
        environment.state_dir = dir.path() / "state";
        return environment;
    }()));
    std::int64_t vg = must(catalog.add_group({0, new_uuid(), "vg0", Sectors(8192), 0}));
    std::int64_t pv = must(catalog.add_pv({0, vg, new_uuid(), "/pv0", Sectors(1 << 20),
                                           Sectors(2048), Extents(100), IoMode::direct, false, 0}));
    std::int64_t pool = add_pool("pool0", false);

    LvRow lv(const std::string& name, LvKind kind, bool pending) const {
        return {0, vg, new_uuid(), name, kind, false, pending, 0};
    }
    std::int64_t add_pool(const std::string& name, bool pending) {
        PoolRow row;
        row.lv = lv(name, LvKind::pool, pending);
        row.chunk_size = Sectors(128);
        return must(catalog.add_pool(row));
    }
    std::int64_t add_thin(const std::string& name, std::uint64_t id, bool pending,
                          std::int64_t origin = 0) {
        ThinRow row;
        row.lv = lv(name, LvKind::thin, pending);
        row.pool_id = pool;
        row.thin_id = thin(id);
        row.origin_id = origin;
        row.size = Bytes(1 << 20);
        return must(catalog.add_thin(row));
    }
    std::size_t volumes() { return must(catalog.thins(vg)).size(); }
    std::size_t volumes_and_pending() { return must(catalog.thins_of_pool(pool, true)).size(); }
    void finish_twice(std::int64_t pool_id, const RecordedOperation& operation) {
        for (int i = 0; i < 2; ++i) must(finish_operation(catalog, pool_id, operation));
    }
    void undo_twice(std::int64_t pool_id, const RecordedOperation& operation) {
        for (int i = 0; i < 2; ++i) must(undo_operation(catalog, pool_id, operation));
    }
};

}  // namespace

TEST_CASE("each recorded operation is read as it was written") {
    there_and_back(MakePool{});
    const auto grow = there_and_back(GrowPool{DataBlocks(1ULL << 40), MetadataBlocks(7)});
    CHECK(grow.data == DataBlocks(1ULL << 40));
    CHECK(grow.metadata == MetadataBlocks(7));
    const auto reduce =
        there_and_back(ReduceVolume{1LL << 40, thin(ThinId::max), Bytes(5), VirtualBlock(6)});
    CHECK(reduce.lv_id == 1LL << 40);
    CHECK(reduce.thin_id == thin(ThinId::max));
    CHECK(reduce.size == Bytes(5));
    CHECK(reduce.from == VirtualBlock(6));
    const auto make =
        there_and_back(MakeVolumes{{{1, thin(2), std::nullopt}, {3, thin(4), thin(0)}}});
    REQUIRE(make.volumes.size() == 2);
    CHECK(make.volumes[0].lv_id == 1);
    CHECK(make.volumes[0].thin_id == thin(2));
    CHECK_FALSE(make.volumes[0].origin.has_value());
    CHECK(make.volumes[1].lv_id == 3);
    CHECK(make.volumes[1].thin_id == thin(4));
    CHECK(make.volumes[1].origin == thin(0));
    const auto remove = there_and_back(RemoveVolumes{{{5, thin(6)}, {7, thin(8)}}});
    REQUIRE(remove.volumes.size() == 2);
    CHECK(remove.volumes[0].lv_id == 5);
    CHECK(remove.volumes[1].thin_id == thin(8));
    const auto merge = there_and_back(MergeVolume{1LL << 40, thin(2), 3, thin(4), Bytes(5), 6});
    CHECK(merge.origin_id == 1LL << 40);
    CHECK(merge.origin_thin == thin(2));
    CHECK(merge.snapshot_id == 3);
    CHECK(merge.snapshot_thin == thin(4));
    CHECK(merge.size == Bytes(5));
    CHECK(merge.kept_id == 6);
}

TEST_CASE("a record that does not parse is corrupt, and says whose it is") {
    for (const char* text :
         {"",
          "{",
          "null",
          "[]",
          "{}",
          "7",
          R"({"do":7})",
          R"({"do":"format"})",
          R"({"do":"grow_pool"})",
          R"({"do":"grow_pool","data":1})",
          R"({"do":"grow_pool","data":"1","metadata":1})",
          R"({"do":"reduce_volume","lv":1,"thin":1,"size":1})",
          R"({"do":"reduce_volume","lv":1,"thin":16777216,"size":1,"from":1})",
          R"({"do":"make_volumes"})",
          R"({"do":"make_volumes","volumes":7})",
          R"({"do":"make_volumes","volumes":"x"})",
          R"({"do":"make_volumes","volumes":[7]})",
          R"({"do":"make_volumes","volumes":[{"lv":1}]})",
          R"({"do":"make_volumes","volumes":[{"lv":1,"thin":-1}]})",
          R"({"do":"make_volumes","volumes":[{"lv":1,"thin":1,"origin":16777216}]})",
          R"({"do":"make_volumes","volumes":[{"lv":1,"thin":1,"origin":null}]})",
          R"({"do":"remove_volumes","volumes":[{"lv":"1","thin":1}]})",
          R"({"do":"remove_volumes"})",
          R"({"do":"merge_volume","origin":1,"origin_thin":1,"snapshot":2,"size":1,"kept":0})",
          R"({"do":"make_pool"} x)"}) {
        CAPTURE(text);
        const auto outcome = operation_from_json(text);
        REQUIRE_FALSE(outcome.has_value());
        CHECK(outcome.error().code == Errc::corrupt);
        CHECK(outcome.error().text.starts_with("catalog: "));
    }
    CHECK(operation_from_json(std::string(1 << 17, '[')).error().code == Errc::corrupt);
}

TEST_CASE("numbers that nobody can have recorded are corrupt") {
    for (const char* number : {"-1", "1.5", "1e300", "18446744073709551616"}) {
        CAPTURE(number);
        const std::string n = number;
        CHECK_FALSE(
            operation_from_json(R"({"do":"grow_pool","metadata":0,"data":)" + n + "}").has_value());
        CHECK_FALSE(operation_from_json(
                        R"({"do":"reduce_volume","lv":1,"thin":1,"from":0,"size":)" + n + "}")
                        .has_value());
        CHECK_FALSE(
            operation_from_json(R"({"do":"remove_volumes","volumes":[{"lv":1,"thin":)" + n + "}]}")
                .has_value());
    }
}

TEST_CASE("the pool is asked for just what was recorded, in an order that works") {
    CHECK(asked_of_pool(MakePool{}).empty());
    CHECK(asked_of_pool(GrowPool{}).empty());

    const auto grow = asked_of_pool(GrowPool{DataBlocks(9), MetadataBlocks(8)});
    REQUIRE(grow.size() == 2);  // metadata first: the data's bitmaps need room
    CHECK(std::get<GrowMetadata>(grow[0]).size == MetadataBlocks(8));
    CHECK(std::get<GrowData>(grow[1]).size == DataBlocks(9));
    REQUIRE(asked_of_pool(GrowPool{DataBlocks(9), MetadataBlocks(0)}).size() == 1);
    REQUIRE(asked_of_pool(GrowPool{DataBlocks(0), MetadataBlocks(8)}).size() == 1);

    const auto make = asked_of_pool(MakeVolumes{{{1, thin(2), {}}, {3, thin(4), thin(2)}}});
    REQUIRE(make.size() == 2);
    CHECK(std::get<CreateThin>(make[0]).id == thin(2));
    CHECK(std::get<CreateSnapshot>(make[1]).id == thin(4));
    CHECK(std::get<CreateSnapshot>(make[1]).origin == thin(2));

    const auto remove = asked_of_pool(RemoveVolumes{{{1, thin(2)}, {3, thin(4)}}});
    REQUIRE(remove.size() == 2);
    CHECK(std::get<RemoveThin>(remove[0]).id == thin(2));
    CHECK(std::get<RemoveThin>(remove[1]).id == thin(4));

    const auto merge = asked_of_pool(MergeVolume{1, thin(2), 3, thin(4), Bytes(5), 0});
    REQUIRE(merge.size() == 1);
    CHECK(std::get<RemoveThin>(merge[0]).id == thin(2));
    CHECK(asked_of_pool(MergeVolume{1, thin(2), 3, thin(4), Bytes(5), 6}).empty());

    const auto reduce = asked_of_pool(ReduceVolume{1, thin(2), Bytes(0), VirtualBlock(3)});
    REQUIRE(reduce.size() == 1);
    CHECK(std::get<TrimThin>(reduce[0]).id == thin(2));
    CHECK(std::get<TrimThin>(reduce[0]).from == VirtualBlock(3));
}

TEST_CASE("volumes half made are there when finished, and never were when undone") {
    for (const bool finished : {true, false}) {
        CAPTURE(finished);
        Fixture f;
        f.add_thin("before", 0, false);
        const std::int64_t a = f.add_thin("a", 1, true), b = f.add_thin("b", 2, true);
        f.add_thin("somebody_elses", 3, true);
        const MakeVolumes make{{{a, thin(1), {}}, {b, thin(2), thin(0)}}};
        if (finished) f.finish_twice(f.pool, make);
        else f.undo_twice(f.pool, make);
        CHECK(f.volumes() == (finished ? 3 : 1));
        CHECK(f.volumes_and_pending() == (finished ? 4 : 2));
    }
}

TEST_CASE("volumes being removed are gone when finished, and stay when undone") {
    for (const bool finished : {true, false}) {
        CAPTURE(finished);
        Fixture f;
        const std::int64_t a = f.add_thin("a", 1, false);
        f.add_thin("b", 2, false);
        const RemoveVolumes remove{{{a, thin(1)}}};
        if (finished) f.finish_twice(f.pool, remove);
        else f.undo_twice(f.pool, remove);
        CHECK(f.volumes() == (finished ? 1 : 2));
        CHECK(must(f.catalog.lookup_lv(f.vg, "a")).has_value() == !finished);
    }
}

TEST_CASE("a volume being reduced has its new size when finished, its old one when undone") {
    Fixture f;
    const std::int64_t a = f.add_thin("a", 1, false);
    const ReduceVolume reduce{a, thin(1), Bytes(4096), VirtualBlock(1)};
    f.undo_twice(f.pool, reduce);
    CHECK(must(f.catalog.thin(a)).size == Bytes(1 << 20));
    f.finish_twice(f.pool, reduce);
    CHECK(must(f.catalog.thin(a)).size == Bytes(4096));
}

TEST_CASE("an origin being replaced has the snapshot's id when finished, its own when undone") {
    for (const bool keep : {true, false}) {
        for (const bool finished : {true, false}) {
            CAPTURE(keep, finished);
            Fixture f;
            const std::int64_t origin = f.add_thin("origin", 1, false);
            const std::int64_t snapshot = f.add_thin("snapshot", 2, false, origin);
            const std::int64_t sibling = f.add_thin("sibling", 3, false, origin);
            const std::int64_t child = f.add_thin("child", 4, false, snapshot);
            const std::int64_t kept = keep ? f.add_thin("kept", 5, true, origin) : 0;
            const MergeVolume merge{origin, thin(1), snapshot, thin(2), Bytes(4096), kept};
            if (finished) f.finish_twice(f.pool, merge);
            else f.undo_twice(f.pool, merge);
            CHECK(must(f.catalog.thin(origin)).thin_id == thin(finished ? 2 : 1));
            CHECK(must(f.catalog.thin(origin)).size == Bytes(finished ? 4096 : 1 << 20));
            CHECK(must(f.catalog.thin(sibling)).origin_id == origin);
            CHECK(must(f.catalog.thin(child)).origin_id == (finished ? origin : snapshot));
            CHECK(must(f.catalog.lookup_lv(f.vg, "snapshot")).has_value() == !finished);
            REQUIRE(must(f.catalog.lookup_lv(f.vg, "kept")).has_value() == (keep && finished));
            if (!keep || !finished) continue;
            CHECK(must(f.catalog.thin(kept)).thin_id == thin(1));
            CHECK_FALSE(must(f.catalog.thin(kept)).lv.pending);
        }
    }
}

TEST_CASE("a pool being made is there when finished, and never was when undone") {
    Fixture f;
    const std::int64_t made = f.add_pool("made", true), given_up = f.add_pool("given_up", true);
    f.finish_twice(made, MakePool{});
    f.undo_twice(given_up, MakePool{});
    CHECK(must(f.catalog.pools(f.vg)).size() == 2);
    CHECK_FALSE(must(f.catalog.lookup_lv(f.vg, "given_up")).has_value());
    CHECK(must(f.catalog.unfinished_pools(f.vg)).empty());
}

TEST_CASE("a pool being grown has its segments when finished, gives them back when undone") {
    for (const bool finished : {true, false}) {
        CAPTURE(finished);
        Fixture f;
        const auto add = [&](std::uint64_t start, bool pending) {
            must(f.catalog.add_segment({0, f.vg, f.pool, SegmentRole::data, Extents(start),
                                        Extents(1), f.pv, Extent(start), pending}));
        };
        add(0, false);
        add(1, true);
        const GrowPool grow{DataBlocks(2), MetadataBlocks(0)};
        if (finished) f.finish_twice(f.pool, grow);
        else f.undo_twice(f.pool, grow);
        CHECK(must(f.catalog.segments_of(f.pool, SegmentRole::data, false)).size() ==
              (finished ? 2 : 1));
        CHECK(must(f.catalog.segments(f.vg)).size() == (finished ? 2 : 1));
    }
}

}  // namespace thinvol
