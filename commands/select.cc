#include "commands/select.h"

#include "libvm/tags.h"

namespace thinvol {

ReportKind selects_from(const CommandSpec& spec) {
    if (spec.name.starts_with("tvg")) return ReportKind::groups;
    return spec.name.starts_with("tvpv") ? ReportKind::physical_volumes : ReportKind::volumes;
}

namespace {

Result<std::string> volume_name(Catalog& catalog, std::int64_t lv_id) {
    if (const auto thin = catalog.thin(lv_id)) return thin->lv.name;
    return TRY(catalog.pool(lv_id)).lv.name;
}

// A group's tag means all that is in it.
Result<> add_tagged(Catalog& catalog, ReportKind kind, const std::string& tag,
                    NamedObjects& named) {
    for (const Taggable& found : TRY(find_tagged(catalog, tag))) {
        const bool is_group = found.pv_id == 0 && found.lv_id == 0;
        if (kind == ReportKind::physical_volumes) {
            for (const PvRow& pv : TRY(catalog.pvs(found.vg_id))) {
                if (is_group || pv.id == found.pv_id) named.paths.push_back(pv.path);
            }
            continue;
        }
        const std::string group = TRY(catalog.group(found.vg_id)).name;
        if (is_group) named.objects.push_back({group, ""});
        if (kind != ReportKind::volumes || found.lv_id == 0) continue;
        const std::string volume = TRY(volume_name(catalog, found.lv_id));
        named.objects.push_back({group, volume});
    }
    return {};
}

}  // namespace

Result<NamedObjects> named_objects(Invocation& call, ReportKind kind) {
    NamedObjects named;
    for (const std::string& operand : call.operands()) {
        if (operand.starts_with('@')) {
            auto catalog = TRY(Catalog::open_existing(call.environment()));
            if (catalog) TRY(add_tagged(*catalog, kind, operand, named));
        } else if (kind == ReportKind::physical_volumes) {
            named.paths.push_back(operand);
        } else {
            named.objects.push_back(TRY(parse_reference(operand)));
            if (kind == ReportKind::groups && !named.objects.back().volume.empty())
                return Error(Errc::not_found,
                             fmt::format("Volume group \"{}\" not found", operand));
        }
    }
    named.none = !call.operands().empty() && named.objects.empty() && named.paths.empty();
    return named;
}

Result<std::vector<std::string>> selected_operands(Invocation& call, Selected wanted) {
    if (!call.has("select")) return call.operands();
    const NamedObjects among = TRY(named_objects(call, ReportKind::volumes));
    std::vector<std::string> names;
    if (!among.none) {
        for (const SelectedObject& found : TRY(select_objects(
                 call.environment(), ReportKind::volumes, call.value("select"), among.objects))) {
            const bool fits =
                wanted == Selected::volumes || found.is_pool == (wanted == Selected::pools);
            if (fits) names.push_back(found.name.group + "/" + found.name.volume);
        }
    }
    if (names.empty()) call.warn(fmt::format("{}: nothing is selected", call.value("select")));
    return names;
}

}  // namespace thinvol
