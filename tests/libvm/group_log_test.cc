// Goal: after each change the logs on a group's physical volumes hold the catalog's rows; a log
// that has outgrown its place moves, and an old catalog that was brought back is noticed.
// Method: groups on simulated physical volumes; the logs are replayed and compared with the rows.
#include "libvm/group_log.h"

#include <map>
#include <set>

#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include "libvm/groups.h"
#include "tests/support/metadata_fixture.h"
#include "tests/support/sim_world.h"

namespace thinvol {
namespace {

using Rows = std::map<std::pair<std::string, std::int64_t>, nlohmann::json>;

Rows replay(const std::vector<std::string>& lines) {
    Rows rows;
    for (const std::string& line : lines) {
        const auto j = nlohmann::json::parse(line);
        const auto table = j.at("t").get<std::string>();
        if (j.contains("d")) rows.erase({table, j.at("d").get<std::int64_t>()});
        else rows[{table, j.at("r").at("id").get<std::int64_t>()}] = j.at("r");
    }
    return rows;
}

constexpr Sectors pv_size{64 * 2048};  // 64 MiB

struct Fixture {
    SimWorld world{3, pv_size, 1};
    Session session = must(world.session());
    GroupRow group;

    Fixture() {
        NewGroup wanted;
        wanted.name = "vg0";
        wanted.pv_paths = {SimWorld::pv_path(0), SimWorld::pv_path(1), SimWorld::pv_path(2)};
        wanted.extent_size = Sectors(2048);
        must(create_group(session, wanted, [](const std::string&) { return true; }));
        group = must(session.catalog.find_group("vg0"));
    }
    std::vector<PvRow> keepers() {
        auto pvs = must(session.catalog.pvs(group.id));
        std::erase_if(pvs, [](const PvRow& pv) { return !pv.keeps_log; });
        return pvs;
    }
    std::vector<std::string> lines_on(const PvRow& pv) {
        const auto opened = must(session.opener->open(pv.path, {}));
        const UuidBytes uuid = uuid_bytes(group.uuid).value();
        return must(must(open_group_log(*opened.queue, uuid)).read_all());
    }
    Rows rows_on(const PvRow& pv) { return replay(lines_on(pv)); }
    Rows catalog_rows() {
        std::vector<std::string> lines;
        for (const auto& change : must(session.catalog.all_rows(group.id)))
            lines.push_back(change.json);
        return replay(lines);
    }
    void add_volumes(int count, const std::string& prefix) {
        auto transaction = must(session.catalog.begin());
        for (int i = 0; i < count; ++i) {
            LvRow row;
            row.vg_id = group.id;
            row.uuid = new_uuid();
            row.name = prefix + std::to_string(i);
            row.kind = LvKind::spare;
            must(session.catalog.add_spare(row));
        }
        must(std::move(transaction).commit());
    }
    void require_logs_hold_the_catalog() {
        const Rows rows = catalog_rows();
        REQUIRE(keepers().size() == log_copies);
        for (const PvRow& pv : keepers()) {
            CAPTURE(pv.path);
            REQUIRE(rows_on(pv) == rows);
        }
    }
};

}  // namespace

TEST_CASE("a new group's rows are on two of its physical volumes") {
    Fixture f;
    must(sync_group_log(f.session, f.group));
    f.require_logs_hold_the_catalog();
    CHECK(f.catalog_rows().contains({"vg", f.group.id}));
    CHECK(f.catalog_rows().size() == 4);
}

TEST_CASE("each sync brings the logs up to the catalog, another one finds nothing to do") {
    Fixture f;
    for (int round = 0; round < 5; ++round) {
        CAPTURE(round);
        f.add_volumes(3, "v" + std::to_string(round) + "_");
        must(sync_group_log(f.session, f.group));
        f.require_logs_hold_the_catalog();
        const std::size_t writes = f.world.trace().writes.size();
        must(sync_group_log(f.session, f.group));
        CHECK(f.world.trace().writes.size() == writes);
    }
    auto transaction = must(f.session.catalog.begin());
    must(f.session.catalog.remove_lv(
        must(f.session.catalog.lookup_lv(f.group.id, "v0_0")).value().id));
    must(f.session.catalog.rename_lv(
        must(f.session.catalog.lookup_lv(f.group.id, "v1_0")).value().id, "renamed"));
    must(std::move(transaction).commit());
    must(sync_group_log(f.session, f.group));
    f.require_logs_hold_the_catalog();
}

TEST_CASE("a log that missed changes which the catalog has dropped gets a checkpoint") {
    Fixture f;
    must(sync_group_log(f.session, f.group));
    for (int round = 0; round < 10; ++round) f.add_volumes(100, "v" + std::to_string(round) + "_");
    auto transaction = must(f.session.catalog.begin());
    must(f.session.catalog.prune_log(f.group.id));
    must(std::move(transaction).commit());
    must(sync_group_log(f.session, f.group));
    f.require_logs_hold_the_catalog();
}

TEST_CASE("a log that outgrew its place moves into hidden extents of its own") {
    Fixture f;
    for (int round = 0; round < 3; ++round) {
        CAPTURE(round);
        f.add_volumes(2000, "volume_with_a_rather_long_name_" + std::to_string(round) + "_");
        must(sync_group_log(f.session, f.group));
        must(sync_group_log(f.session, f.group));  // the move itself is a change of the catalog
        f.require_logs_hold_the_catalog();
    }
    std::set<std::int64_t> pvs;
    for (const SegmentRow& segment : must(f.session.catalog.segments(f.group.id))) {
        CHECK(segment.role == SegmentRole::log);
        CHECK(pvs.insert(segment.pv_id).second);  // the extents of the place before are free again
    }
    CHECK(pvs.size() == log_copies);
}

TEST_CASE("an older catalog that was brought back is noticed, and the logs stay as they are") {
    Fixture f;
    must(sync_group_log(f.session, f.group));
    auto old = f.world.images();
    f.add_volumes(2, "later_");
    must(sync_group_log(f.session, f.group));
    auto now = f.world.images();
    now[now.size() - 2] = old[old.size() - 2];
    now[now.size() - 1] = old[old.size() - 1];

    SimWorld restored(std::move(now), 1);
    Session session = must(restored.session());
    const GroupRow group = must(session.catalog.find_group("vg0"));
    const auto before = restored.images();
    const auto outcome = sync_group_log(session, group);
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().code == Errc::corrupt);
    CHECK_THAT(outcome.error().text, Catch::Matchers::ContainsSubstring("vg0"));
    CHECK_THAT(outcome.error().text, Catch::Matchers::ContainsSubstring("an older catalog"));
    CHECK(restored.images() == before);
}

TEST_CASE("a log whose area was wiped is made anew") {
    Fixture f;
    must(sync_group_log(f.session, f.group));
    const PvRow pv = f.keepers().front();
    {
        const auto opened = must(f.session.opener->open(pv.path, {}));
        must(zero_now(*opened.queue, pv_first_log, Sectors(1024)));
        must(flush_now(*opened.queue));
    }
    CHECK(f.rows_on(pv).empty());
    must(sync_group_log(f.session, f.group));
    f.require_logs_hold_the_catalog();
}

}  // namespace thinvol
