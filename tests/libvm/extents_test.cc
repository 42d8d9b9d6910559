// Goal: an extent is given to one owner only, near its neighbours where that can be, and a catalog
// that contradicts itself is not built upon.
// Method: small layouts by hand; random allocation against a set of taken extents.
#include "libvm/extents.h"

#include <algorithm>
#include <limits>
#include <set>

#include "tests/support/metadata_fixture.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

PvRow pv(std::int64_t id, std::uint64_t extents) {
    PvRow row;
    row.id = id;
    row.path = "/pv" + std::to_string(id);
    row.extents = Extents(extents);
    return row;
}

SegmentRow segment(std::int64_t pv_id, std::uint64_t start, std::uint64_t length) {
    SegmentRow row;
    row.pv_id = pv_id;
    row.pv_start = Extent(start);
    row.length = Extents(length);
    return row;
}

using Place = std::tuple<std::int64_t, std::uint64_t, std::uint64_t>;
std::vector<Place> take(FreeExtents& free, std::uint64_t n,
                        const std::vector<std::int64_t>& only = {},
                        const Placement* after = nullptr) {
    std::vector<Place> places;
    for (const Placement& p : must(free.take(Extents(n), only, after)))
        places.emplace_back(p.pv_id, p.start.n, p.length.n);
    return places;
}

}  // namespace

TEST_CASE("what no segment covers is free") {
    const auto free = must(FreeExtents::of({pv(1, 10), pv(2, 5)},
                                           {segment(1, 2, 3), segment(1, 9, 1), segment(2, 0, 5)}));
    CHECK(free.total() == Extents(6));
    CHECK(free.on(1) == Extents(6));
    CHECK(free.on(2) == Extents(0));
    CHECK(free.on(3) == Extents(0));
    CHECK(must(FreeExtents::of({}, {})).total() == Extents(0));
    CHECK(must(FreeExtents::of({pv(1, 0)}, {})).total() == Extents(0));
}

TEST_CASE("the order of segments does not matter") {
    const auto free =
        must(FreeExtents::of({pv(1, 10)}, {segment(1, 9, 1), segment(1, 0, 2), segment(1, 5, 1)}));
    CHECK(free.total() == Extents(6));
}

TEST_CASE("segments that overlap or leave their physical volume are corrupt") {
    const std::vector<std::vector<SegmentRow>> cases{
        {segment(1, 0, 2), segment(1, 1, 2)},
        {segment(1, 3, 2), segment(1, 3, 2)},
        {segment(1, 2, 5), segment(1, 3, 1)},
        {segment(1, 9, 2)},
        {segment(1, 10, 1)},
        {segment(1, 0, 11)},
        {segment(1, std::numeric_limits<std::uint64_t>::max(), 1)},
        {segment(1, 1, std::numeric_limits<std::uint64_t>::max())},
    };
    for (const auto& segments : cases) {
        const auto outcome = FreeExtents::of({pv(1, 10)}, segments);
        REQUIRE_FALSE(outcome.has_value());
        CHECK(outcome.error().code == Errc::corrupt);
        CHECK(outcome.error().text.find("/pv1") != std::string::npos);
    }
    CHECK(
        FreeExtents::of({pv(1, 10), pv(2, 10)}, {segment(1, 3, 2), segment(2, 3, 2)}).has_value());
}

TEST_CASE("the smallest run that holds all is taken, so that large ones stay") {
    auto free = must(
        FreeExtents::of({pv(1, 20)}, {segment(1, 8, 1), segment(1, 12, 1)}));  // runs of 8, 3, 7
    CHECK(take(free, 3) == std::vector<Place>{{1, 9, 3}});
    CHECK(take(free, 7) == std::vector<Place>{{1, 13, 7}});
    CHECK(take(free, 8) == std::vector<Place>{{1, 0, 8}});
    CHECK(free.total() == Extents(0));
}

TEST_CASE("what no run holds is taken from the largest first") {
    auto free = must(FreeExtents::of({pv(1, 20)}, {segment(1, 8, 1), segment(1, 12, 1)}));
    CHECK(take(free, 10) == std::vector<Place>{{1, 0, 8}, {1, 9, 2}});
    CHECK(free.total() == Extents(8));
}

TEST_CASE("a volume grows behind its end where that is free") {
    const Placement last{2, Extent(3), Extents(2)};
    const std::vector<SegmentRow> used{segment(2, 3, 2)};
    auto free = must(FreeExtents::of({pv(1, 4), pv(2, 10)}, used));  // runs: 4 on 1; 3 and 5 on 2
    CHECK(take(free, 2, {}, &last) == std::vector<Place>{{2, 5, 2}});
    auto more = must(FreeExtents::of({pv(1, 4), pv(2, 10)}, used));
    CHECK(take(more, 8, {}, &last) == std::vector<Place>{{2, 5, 5}, {2, 0, 3}});
    auto elsewhere =
        must(FreeExtents::of({pv(1, 4), pv(2, 10)}, {segment(2, 3, 2), segment(2, 5, 1)}));
    CHECK(take(elsewhere, 4, {}, &last) == std::vector<Place>{{1, 0, 4}});
    auto not_allowed = must(FreeExtents::of({pv(1, 4), pv(2, 10)}, used));
    CHECK(take(not_allowed, 2, {1}, &last) == std::vector<Place>{{1, 0, 2}});
}

TEST_CASE("only the physical volumes that were named are used") {
    auto free = must(FreeExtents::of({pv(1, 4), pv(2, 10), pv(3, 4)}, {}));
    CHECK(take(free, 6, {1, 3}) == std::vector<Place>{{1, 0, 4}, {3, 0, 2}});
    const auto refused = free.take(Extents(3), {1, 3});
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Errc::out_of_space);
    CHECK(refused.error().text.find("3 extents needed, but only 2 available") != std::string::npos);
}

TEST_CASE("taking too much takes nothing, taking nothing is no error") {
    auto free = must(FreeExtents::of({pv(1, 4)}, {}));
    CHECK(free.take(Extents(5), {}).error().code == Errc::out_of_space);
    CHECK(free.total() == Extents(4));
    CHECK(take(free, 0).empty());
    CHECK(take(free, 4) == std::vector<Place>{{1, 0, 4}});
}

TEST_CASE("one run is the smallest that is long enough, or the one behind") {
    const std::vector<SegmentRow> used{segment(1, 8, 1), segment(1, 12, 1)};  // runs of 8, 3, 7
    auto free = must(FreeExtents::of({pv(1, 20)}, used));
    CHECK(must(free.take_run(Extents(5), {})).start == Extent(13));
    const Placement last{1, Extent(8), Extents(1)};
    CHECK(must(free.take_run(Extents(2), {}, &last)).start == Extent(9));
    CHECK(free.take_run(Extents(4), {}, &last).error().code == Errc::out_of_space);
    CHECK(free.take_run(Extents(9), {}).error().code == Errc::out_of_space);
    CHECK(free.take_run(Extents(1), {2}).error().code == Errc::out_of_space);
}

TEST_CASE("a physical volume that is not allocatable has nothing free") {
    PvRow closed = pv(1, 20);
    closed.allocatable = false;
    CHECK(must(FreeExtents::of({closed, pv(2, 5)}, {segment(1, 8, 1)})).total() == Extents(5));
}

TEST_CASE("no extent is given twice, whatever is asked") {
    for (const std::uint64_t seed : test_seeds(50)) {
        CAPTURE(seed);
        Random random(seed);
        const std::vector<PvRow> pvs{pv(1, 1 + random.below(40)), pv(2, 1 + random.below(40)),
                                     pv(3, 1 + random.below(40))};
        std::vector<SegmentRow> segments;
        std::set<std::pair<std::int64_t, std::uint64_t>> taken;
        Placement last{};
        for (;;) {
            auto free = must(FreeExtents::of(pvs, segments));
            const std::uint64_t n = 1 + random.below(12);
            const std::vector<std::int64_t> only =
                random.one_in(4) ? std::vector<std::int64_t>{2} : std::vector<std::int64_t>();
            const Extents before = only.empty() ? free.total() : free.on(2);
            const auto places = free.take(Extents(n), only, random.one_in(2) ? &last : nullptr);
            if (!places) {
                REQUIRE(before < Extents(n));
                if (only.empty()) break;
                continue;
            }
            Extents sum(0);
            for (const Placement& p : *places) {
                sum += p.length;
                REQUIRE((only.empty() || p.pv_id == 2));
                REQUIRE(p.start + p.length <=
                        end_of(pvs[static_cast<std::size_t>(p.pv_id - 1)].extents));
                for (std::uint64_t e = 0; e < p.length.n; ++e)
                    REQUIRE(taken.emplace(p.pv_id, p.start.n + e).second);
                segments.push_back(segment(p.pv_id, p.start.n, p.length.n));
                last = p;
            }
            REQUIRE(sum == Extents(n));
            if (!segments.empty() && random.one_in(3)) {  // one goes back
                const SegmentRow gone = segments[random.below(segments.size())];
                for (std::uint64_t e = 0; e < gone.length.n; ++e)
                    taken.erase({gone.pv_id, gone.pv_start.n + e});
                std::erase_if(segments, [&](const SegmentRow& s) {
                    return s.pv_id == gone.pv_id && s.pv_start == gone.pv_start;
                });
            }
        }
    }
}

}  // namespace thinvol
