#include "commands/lookup.h"
#include "commands/metadata_source.h"
#include "commands/table.h"
#include "engine/delta.h"
#include "engine/volume_list.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    device_option,
    metadata_snapshot_option,
    {"thin1", 0, Value::text, "The left one: a thin id, or the name of a volume in the pool."},
    {"thin2", 0, Value::text, "The right one."},
    {"snap1", 0, Value::text, "As --thin1."},
    {"snap2", 0, Value::text, "As --thin2."},
};
constexpr OperandSpec operands[] = {pool_operand};
constexpr Conflict conflicts[] = {{"thin1", "snap1"}, {"thin2", "snap2"}};
constexpr std::string_view examples[] = {"tvdelta --thin1 before --thin2 root vg0/pool0",
                                         "tvdelta --thin1 0 --thin2 4 --device metadata.img"};

Result<ThinId> id_of(const Invocation& call, const std::string& text) {
    if (const auto number = parse_number(text)) return ThinId::from(*number);
    if (call.operands().empty())
        return Error(Errc::invalid_argument, fmt::format("\"{}\" is no thin id", text));
    Session session = TRY(call.session());
    const FoundPool pool = TRY(find_pool(session, call.operands().front()));
    const FoundThin thin = TRY(find_thin(session, pool.group.name + "/" + text));
    if (thin.thin.pool_id != pool.pool.lv.id)
        return Error(Errc::not_found,
                     fmt::format("{} is not in pool {}", thin.full_name(), pool.full_name()));
    return thin.thin.thin_id;
}

// thin_delta's XML. Unless verbose, runs of one kind are one, wherever their blocks are.
class XmlWriter {
public:
    XmlWriter(Invocation& call, bool verbose) : call_(call), verbose_(verbose) {}
    void begin(const Superblock& sb, ThinId left, ThinId right) {
        const std::string held = sb.held_root == MetadataBlock(0)
                                     ? ""
                                     : fmt::format(R"( metadata_snap="{}")", sb.held_root);
        text_ = fmt::format(R"(<superblock uuid="" time="{}" transaction="{}" data_block_size="{}")"
                            R"( nr_data_blocks="{}"{}>)"
                            "\n  <diff left=\"{}\" right=\"{}\">\n",
                            sb.time, sb.transaction_id, sb.data_block_size,
                            sb.data_space_map.blocks, held, left, right);
    }
    Result<> add(const DeltaRun& run) {
        if (verbose_) add_range(run);
        else if (last_.length > 0 && last_.kind == run.kind &&
                 run.begin.n == last_.begin.n + last_.length)
            last_.length += run.length;
        else {
            finish_run();
            last_ = run;
        }
        if (text_.size() > 64 * 1024) flush();
        return {};
    }
    void end() {
        finish_run();
        text_ += "  </diff>\n</superblock>\n";
        flush();
    }

private:
    static std::string_view name(DeltaRun::Kind kind) {
        constexpr std::string_view names[] = {"same", "different", "left_only", "right_only"};
        return names[static_cast<std::size_t>(kind)];
    }
    void add_range(const DeltaRun& run) {
        if (last_.length == 0 || last_.kind != run.kind) {
            finish_run();
            text_ += fmt::format("    <{}>\n", name(run.kind));
        }
        text_ += fmt::format(R"(      <range begin="{}")", run.begin);
        if (run.kind == DeltaRun::Kind::different)
            text_ +=
                fmt::format(R"( left_data_begin="{}" right_data_begin="{}")", run.left, run.right);
        else
            text_ += fmt::format(R"( data_begin="{}")",
                                 run.kind == DeltaRun::Kind::right_only ? run.right : run.left);
        text_ += fmt::format(" length=\"{}\"/>\n", run.length);
        last_ = run;
    }
    void finish_run() {
        if (last_.length == 0) return;
        if (verbose_) text_ += fmt::format("    </{}>\n", name(last_.kind));
        else
            text_ += fmt::format("    <{} begin=\"{}\" length=\"{}\"/>\n", name(last_.kind),
                                 last_.begin, last_.length);
    }
    void flush() {
        call_.write(text_);
        text_.clear();
    }

    Invocation& call_;
    bool verbose_;
    DeltaRun last_;
    std::string text_;
};

Result<> write_delta(Invocation& call, BlockQueue& device, ThinId left, ThinId right) {
    const Superblock superblock = TRY(Superblock::read(device));
    const auto volumes = TRY(list_volumes(device, superblock));
    const ListedVolume* l = TRY(find_listed(volumes, left));
    const ListedVolume* r = TRY(find_listed(volumes, right));
    XmlWriter out(call, call.has("verbose"));
    out.begin(superblock, left, right);
    TRY(compare_volumes(device, superblock, l->root, r->root,
                        [&](const DeltaRun& run) { return out.add(run); }));
    out.end();
    return {};
}

int run(Invocation& call) {
    const auto given = [&](const char* one, const char* other) {
        return call.value_or(one, call.value_or(other, ""));
    };
    if (given("thin1", "snap1").empty() || given("thin2", "snap2").empty())
        return call.usage("Please give both volumes: --thin1 and --thin2.");
    const ThinId left = TRY_OR_FAIL(call, id_of(call, given("thin1", "snap1")));
    const ThinId right = TRY_OR_FAIL(call, id_of(call, given("thin2", "snap2")));
    MetadataSource source = TRY_OR_FAIL(call, open_volumes_metadata(call));
    TRY_OR_FAIL(call, within(source.name, write_delta(call, source.device(), left, right)));
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvdelta{.name = "tvdelta",
                              .summary = "Show how the mappings of two volumes of a pool differ.",
                              .options = options,
                              .operands = operands,
                              .conflicts = conflicts,
                              .examples = examples,
                              .instead_of_operands = device_option.name,
                              .run = run,
                              .test_mode = TestMode::harmless};
static_assert(well_formed(tvdelta));

}  // namespace thinvol
