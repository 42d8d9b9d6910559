#include "commands/group_options.h"

#include "libvm/group_settings.h"
#include "libvm/reconcile.h"
#include "libvm/tags.h"
#include "libvm/volumes.h"

namespace thinvol {
namespace {

Allocation allocation_of(std::string_view word) {
    for (const Allocation a : {Allocation::contiguous, Allocation::cling}) {
        if (name_of(a) == word) return a;
    }
    return Allocation::normal;
}

}  // namespace

bool has_group_options(const Invocation& call) {
    return call.has("setautoactivation") || call.has("alloc") || call.has("addtag") ||
           call.has("deltag");
}

Result<> apply_group_options(Invocation& call, Session& session, const GroupRow& group) {
    TRY(check_group_usable(session, group));
    {
        auto transaction = TRY(session.catalog.begin());
        GroupSettings settings = TRY(group_settings(session.catalog, group.id));
        if (call.has("setautoactivation"))
            settings.autoactivation = call.value("setautoactivation") == "y";
        if (call.has("alloc")) settings.allocation = allocation_of(call.value("alloc"));
        TRY(set_group_settings(session.catalog, group.id, settings));
        for (const std::string& tag : call.values("addtag"))
            TRY(add_tag(session.catalog, {group.id}, tag));
        for (const std::string& tag : call.values("deltag"))
            TRY(remove_tag(session.catalog, {group.id}, tag));
        TRY(std::move(transaction).commit());
    }
    for (const auto& warning : TRY(announce_change(session, group)).warnings) call.warn(warning);
    return {};
}

}  // namespace thinvol
