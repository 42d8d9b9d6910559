#include "libvm/pool_operations.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "libvm/merges.h"

namespace thinvol {
namespace {

using Json = nlohmann::json;

template <class... Fs>
struct Overloaded : Fs... {
    using Fs::operator()...;
};

// Fields of a parsed record; throws nlohmann's exceptions, caught in operation_from_json.
std::uint64_t number(const Json& j, const char* name) {
    const Json& v = j.at(name);
    if (!v.is_number_unsigned()) throw Json::type_error::create(302, "no count", &v);
    return v.get<std::uint64_t>();
}
ThinId thin_id(const Json& j, const char* name) {
    const auto id = ThinId::from(number(j, name));
    if (!id) throw Json::out_of_range::create(401, id.error().text, &j);
    return *id;
}

RecordedOperation parse(const Json& j) {
    const std::string kind = j.at("do").get<std::string>();
    if (kind == "make_pool") return MakePool{};
    if (kind == "grow_pool")
        return GrowPool{DataBlocks(number(j, "data")), MetadataBlocks(number(j, "metadata"))};
    if (kind == "reduce_volume") {
        return ReduceVolume{j.at("lv").get<std::int64_t>(), thin_id(j, "thin"),
                            Bytes(number(j, "size")), VirtualBlock(number(j, "from"))};
    }
    if (kind == "merge_volume") {
        return MergeVolume{j.at("origin").get<std::int64_t>(),
                           thin_id(j, "origin_thin"),
                           j.at("snapshot").get<std::int64_t>(),
                           thin_id(j, "snapshot_thin"),
                           Bytes(number(j, "size")),
                           j.at("kept").get<std::int64_t>()};
    }
    if (kind == "make_volumes") {
        MakeVolumes make;
        for (const Json& v : j.at("volumes")) {
            std::optional<ThinId> origin;
            if (v.contains("origin")) origin = thin_id(v, "origin");
            make.volumes.push_back({v.at("lv").get<std::int64_t>(), thin_id(v, "thin"), origin});
        }
        return make;
    }
    if (kind == "remove_volumes") {
        RemoveVolumes remove;
        for (const Json& v : j.at("volumes"))
            remove.volumes.push_back({v.at("lv").get<std::int64_t>(), thin_id(v, "thin")});
        return remove;
    }
    throw Json::other_error::create(501, "unknown operation " + kind, &j);
}

}  // namespace

std::string to_json(const RecordedOperation& operation) {
    return std::visit(
               Overloaded{
                   [](const MakePool&) { return Json{{"do", "make_pool"}}; },
                   [](const GrowPool& o) {
                       return Json{
                           {"do", "grow_pool"}, {"data", o.data.n}, {"metadata", o.metadata.n}};
                   },
                   [](const ReduceVolume& o) {
                       return Json{{"do", "reduce_volume"},
                                   {"lv", o.lv_id},
                                   {"thin", o.thin_id.n()},
                                   {"size", o.size.n},
                                   {"from", o.from.n}};
                   },
                   [](const MergeVolume& o) {
                       return Json{{"do", "merge_volume"},
                                   {"origin", o.origin_id},
                                   {"origin_thin", o.origin_thin.n()},
                                   {"snapshot", o.snapshot_id},
                                   {"snapshot_thin", o.snapshot_thin.n()},
                                   {"size", o.size.n},
                                   {"kept", o.kept_id}};
                   },
                   [](const MakeVolumes& o) {
                       Json volumes = Json::array();
                       for (const auto& v : o.volumes) {
                           Json one{{"lv", v.lv_id}, {"thin", v.thin_id.n()}};
                           if (v.origin) one["origin"] = v.origin->n();
                           volumes.push_back(std::move(one));
                       }
                       return Json{{"do", "make_volumes"}, {"volumes", std::move(volumes)}};
                   },
                   [](const RemoveVolumes& o) {
                       Json volumes = Json::array();
                       for (const auto& v : o.volumes)
                           volumes.push_back({{"lv", v.lv_id}, {"thin", v.thin_id.n()}});
                       return Json{{"do", "remove_volumes"}, {"volumes", std::move(volumes)}};
                   }},
               operation)
        .dump();
}

Result<RecordedOperation> operation_from_json(std::string_view text) {
    try {
        return parse(Json::parse(text));
    } catch (const Json::exception& e) {
        return Error(
            Errc::corrupt,
            fmt::format("catalog: the pool's pending operation does not parse: {}", e.what()));
    }
}

std::vector<PoolOperation> asked_of_pool(const RecordedOperation& operation) {
    std::vector<PoolOperation> asked;
    std::visit(
        Overloaded{[](const MakePool&) {},
                   [&](const GrowPool& o) {
                       if (o.metadata > MetadataBlocks(0))
                           asked.push_back(
                               GrowMetadata{o.metadata});  // first: the data's bitmaps need room
                       if (o.data > DataBlocks(0)) asked.push_back(GrowData{o.data});
                   },
                   [&](const ReduceVolume& o) { asked.push_back(TrimThin{o.thin_id, o.from}); },
                   [&](const MergeVolume& o) {
                       if (o.kept_id == 0) asked.push_back(RemoveThin{o.origin_thin});
                   },
                   [&](const MakeVolumes& o) {
                       for (const auto& v : o.volumes) {
                           if (v.origin) asked.push_back(CreateSnapshot{v.thin_id, *v.origin});
                           else asked.push_back(CreateThin{v.thin_id});
                       }
                   },
                   [&](const RemoveVolumes& o) {
                       for (const auto& v : o.volumes) asked.push_back(RemoveThin{v.thin_id});
                   }},
        operation);
    return asked;
}

Result<> finish_operation(Catalog& catalog, std::int64_t pool_id,
                          const RecordedOperation& operation) {
    return std::visit(
        Overloaded{[&](const MakePool&) { return catalog.confirm_lv(pool_id); },
                   [&](const GrowPool&) { return catalog.confirm_segments(pool_id); },
                   [&](const ReduceVolume& o) { return catalog.set_thin_size(o.lv_id, o.size); },
                   [&](const MergeVolume& o) -> Result<> {
                       TRY(replace_origin(catalog, o.origin_id, o.snapshot_id, o.snapshot_thin,
                                          o.size));
                       if (o.kept_id == 0) return {};
                       TRY(set_thin_id(catalog, o.kept_id, o.origin_thin));
                       return catalog.confirm_lv(o.kept_id);
                   },
                   [&](const MakeVolumes& o) -> Result<> {
                       for (const auto& v : o.volumes) TRY(catalog.confirm_lv(v.lv_id));
                       return {};
                   },
                   [&](const RemoveVolumes& o) -> Result<> {
                       for (const auto& v : o.volumes) TRY(catalog.remove_lv(v.lv_id));
                       return {};
                   }},
        operation);
}

Result<> undo_operation(Catalog& catalog, std::int64_t pool_id,
                        const RecordedOperation& operation) {
    return std::visit(
        Overloaded{[&](const MakePool&) { return catalog.remove_lv(pool_id); },
                   [&](const GrowPool&) { return catalog.remove_pending_segments(pool_id); },
                   [](const ReduceVolume&) { return Result<>(); },
                   [&](const MergeVolume& o) {
                       return o.kept_id == 0 ? Result<>() : catalog.remove_lv(o.kept_id);
                   },
                   [&](const MakeVolumes& o) -> Result<> {
                       for (const auto& v : o.volumes) TRY(catalog.remove_lv(v.lv_id));
                       return {};
                   },
                   [](const RemoveVolumes&) { return Result<>(); }},
        operation);
}

}  // namespace thinvol
