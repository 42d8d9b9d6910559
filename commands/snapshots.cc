#include "commands/snapshots.h"

#include <fmt/chrono.h>

#include <filesystem>
#include <set>

#include "commands/idempotence.h"
#include "commands/lookup.h"
#include "commands/warnings.h"
#include "libvm/borrowed_device.h"
#include "libvm/config.h"
#include "libvm/external_origin.h"
#include "libvm/file_system.h"
#include "libvm/frozen_volumes.h"
#include "libvm/private_mount.h"

namespace thinvol {
namespace {

void replace_all(std::string& text, std::string_view what, std::string_view with) {
    for (std::size_t at = text.find(what); at != std::string::npos;
         at = text.find(what, at + with.size()))
        text.replace(at, what.size(), with);
}

// "{origin}" stands for the volume's name, "{time}" for the moment, in UTC.
std::string name_from(std::string pattern, const std::string& origin, std::int64_t now) {
    replace_all(pattern, "{origin}", origin);
    replace_all(pattern, "{time}",
                fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(static_cast<std::time_t>(now))));
    return pattern;
}

Error another_pool(const FoundThin& one, const FoundThin& other) {
    return {Errc::invalid_argument,
            fmt::format("{} and {} are in different pools, which have no instant in common: take "
                        "their snapshots pool by pool",
                        one.full_name(), other.full_name())};
}

Result<MakeVolumesRequest> wanted_of(Invocation& call, const Session& session,
                                     const std::vector<FoundThin>& origins, bool skip) {
    MakeVolumesRequest wanted;
    const std::int64_t now = session.now();
    std::set<std::string> names;
    for (const FoundThin& origin : origins) {
        if (origin.thin.pool_id != origins.front().thin.pool_id)
            return another_pool(origins.front(), origin);
        MakeVolumesRequest::One one;
        one.name = name_from(call.value_or("name", ""), origin.thin.lv.name, now);
        if (!one.name.empty() && !names.insert(one.name).second)
            return Error(Errc::invalid_argument,
                         fmt::format("{} snapshots cannot all be named \"{}\": give a pattern "
                                     "with {{origin}} in it, such as --name '{{origin}}-{}'",
                                     origins.size(), one.name, one.name));
        one.origin_id = origin.thin.lv.id;
        one.read_only = call.value_or("permission", "rw") == "r";
        one.skip_activation = skip;
        one.tags = call.values("addtag");
        wanted.volumes.push_back(std::move(one));
    }
    return wanted;
}

// Whether each has its snapshot of that name already.
Result<bool> is_so(Session& session, const GroupRow& group, const MakeVolumesRequest& wanted) {
    for (const auto& one : wanted.volumes) {
        const auto lv = TRY(session.catalog.lookup_lv(group.id, one.name));
        if (!lv || lv->kind != LvKind::thin) return false;
        if (TRY(session.catalog.thin(lv->id)).origin_id != one.origin_id) return false;
    }
    return true;
}

// Of snapshots that were just made. What cannot have one goes again, with all the others.
Result<> renew_uuids(Session& session, const GroupRow& group, const PoolRow& pool,
                     const std::vector<std::string>& names) {
    if (session.environment.rehearsal) return {};
    RemoveVolumesRequest all{{}, true};
    const auto renew = [&](const std::string& name) -> Result<> {
        const ThinRow snapshot = TRY(find_thin(session, group.name + "/" + name)).thin;
        BorrowedDevice device = TRY(BorrowedDevice::open(session, group, snapshot));
        const FileSystem present = TRY(FileSystem::find(device.node()));
        TRY(present.check_uuid_changeable());
        TRY(present.renew_uuid(mount_place(session.environment)));
        return device.give_back();
    };
    Result<> outcome;
    for (const std::string& name : names) {
        all.lv_ids.push_back(TRY(session.catalog.find_lv(group, name)).id);
        if (outcome) outcome = within(fmt::format("a new UUID for {}", name), renew(name));
    }
    if (outcome) return outcome;
    const auto removed = remove_volumes(session, group, pool, all);
    return Error(outcome.error().code,
                 fmt::format("{}; {}", outcome.error().text,
                             removed ? "no snapshot was made"
                                     : "the snapshot is left: " + removed.error().text));
}

// A thin volume is an origin within its own pool: then it is a snapshot like any other.
Result<> check_same_pool(const Invocation& call, Session& session, const FoundThin& origin) {
    const FoundPool pool = TRY(find_pool(session, call.value("thinpool")));
    if (origin.thin.pool_id == pool.pool.lv.id) return {};
    return Error(
        Errc::unsupported,
        fmt::format("{} is not in pool {}, and an external origin is a file or block device: "
                    "tvexport {} FILE makes one of it",
                    origin.full_name(), pool.full_name(), origin.full_name()));
}

int make_over_external_origin(Invocation& call, const std::string& path) {
    Session session = TRY_OR_FAIL(call, call.session());
    const FoundPool found = TRY_OR_FAIL(call, find_pool(session, call.value("thinpool")));
    const ExternalOrigin origin = TRY_OR_FAIL(call, find_external_origin(path));
    MakeVolumesRequest::One one;
    one.name = call.value_or("name", "");
    one.size = TRY_OR_FAIL(call, volume_size(found.group, found.pool, origin.size));
    one.read_only = call.value_or("permission", "rw") == "r";
    one.skip_activation = call.value_or("setactivationskip", "n") == "y";
    one.tags = call.values("addtag");
    one.external_origin = to_text(origin);
    const auto made = TRY_OR_FAIL(call, create_volumes(session, found.group, found.pool, {{one}}));
    for (const auto& warning : made.warnings) call.warn(warning);
    call.say("Logical volume \"{}\" created over {}, which must not change any more.",
             made.names.front(), origin.path);
    return exit_ok;
}

}  // namespace

int make_snapshots(Invocation& call, const std::vector<std::string>& operands,
                   bool several_allowed) {
    if (call.has("size") || call.has("extents")) {
        return call.usage(
            "A thin snapshot has no size of its own: it shares its origin's blocks, and takes new "
            "ones from the pool as either is written. "
            "Leave --size and --extents out.");
    }
    Session session = TRY_OR_FAIL(call, call.session());
    std::vector<FoundThin> origins;
    if (several_allowed) origins = TRY_OR_FAIL(call, find_thins(session, operands));
    else origins.push_back(TRY_OR_FAIL(call, find_thin(session, operands.front())));
    if (origins.empty()) return call.fail({Errc::not_found, "no thin volume is meant"});
    if (call.has("thinpool")) TRY_OR_FAIL(call, check_same_pool(call, session, origins.front()));
    const GroupRow& group = origins.front().group;
    const PoolRow pool = TRY_OR_FAIL(call, session.catalog.pool(origins.front().thin.pool_id));
    const Config config = TRY_OR_FAIL(call, Config::load(session, group.id, pool.lv.id));
    const bool skip = call.has("setactivationskip") ? call.value("setactivationskip") == "y"
                                                    : config.flag("activation.skip_snapshots");
    const MakeVolumesRequest wanted = TRY_OR_FAIL(call, wanted_of(call, session, origins, skip));
    if (call.has(idempotent_option.name) && TRY_OR_FAIL(call, is_so(session, group, wanted)))
        return exit_ok;
    const auto made =
        TRY_OR_FAIL(call, create_frozen(session, group, pool, wanted, !call.has("no-freeze")));
    for (const auto& warning : made.warnings) call.warn(warning);
    if (call.has("new-uuid")) TRY_OR_FAIL(call, renew_uuids(session, group, pool, made.names));
    for (const std::string& name : made.names) call.say("Logical volume \"{}\" created.", name);
    warn_of_space(call, config, group.name + "/" + pool.lv.name, made.pool);
    if (skip) {
        const bool one = made.names.size() == 1;
        call.say("Activation skips {}: tvchange -ay -K {}/{} activates {}, tvchange -kn ends that.",
                 one ? "it" : "them", group.name, one ? made.names.front() : "NAME",
                 one ? "it" : "one");
    }
    return exit_ok;
}

int make_by_tvcreate(Invocation& call) {
    const std::string& origin = call.operands().front();
    if (call.has("thinpool")) {
        std::error_code error;
        if (std::filesystem::is_regular_file(origin, error) ||
            std::filesystem::is_block_file(origin, error))
            return make_over_external_origin(call, origin);
    }
    return make_snapshots(call, {origin}, false);
}

}  // namespace thinvol
