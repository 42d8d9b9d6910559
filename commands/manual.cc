#include "commands/manual.h"

#include <fmt/format.h>

#include <cctype>

#include "commands/description.h"
#include "commands/invocation.h"
#include "commands/select.h"
#include "commands/table.h"
#include "commands/values.h"

namespace thinvol {
namespace {

// Of the pages, not of the day that they are made on: the same sources make the same pages.
constexpr std::string_view release_date = "2026-11-01";

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool line_start = out.empty() || out.back() == '\n';
        if (line_start && (c == '.' || c == '\'')) out += "\\&";
        if (c == '\\') out += "\\e";
        else if (c == '-') out += "\\-";
        else out += c;
    }
    return out;
}
std::string bold(std::string_view text) { return fmt::format("\\fB{}\\fR", escaped(text)); }
std::string italic(std::string_view text) { return fmt::format("\\fI{}\\fR", escaped(text)); }

std::string header(std::string_view name, int section, std::string_view summary) {
    if (summary.ends_with('.')) summary.remove_suffix(1);
    return fmt::format(".TH {} {} {} \"thinvol {}\" \"Thinvol Manual\"\n.SH NAME\n{} \\- {}\n",
                       escaped(name), section, release_date, THINVOL_VERSION, escaped(name),
                       escaped(summary));
}

// Paragraphs that an empty line divides.
std::string paragraphs(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find("\n\n", at), text.size());
        if (at > 0) out += ".PP\n";
        out += escaped(text.substr(at, end - at)) + "\n";
        at = std::min(end + 2, text.size());
    }
    return out;
}

std::string items(std::string_view heading, const auto& rows, const auto& term) {
    if (rows.empty()) return "";
    std::string out = fmt::format(".SH {}\n", heading);
    for (const auto& row : rows) out += fmt::format(".TP\n{}\n", term(row));
    return out;
}

std::string called(const CommandSpec& spec) {
    return spec.name.starts_with("tv") ? std::string(spec.name)
                                       : fmt::format("thinvol {}", spec.name);
}

std::string synopsis(const CommandSpec& spec) {
    std::string out = fmt::format(".SH SYNOPSIS\n{} [{}]", bold(called(spec)), italic("options"));
    for (const OperandSpec& o : spec.operands)
        out += fmt::format(" {}{}{}{}", o.required ? "" : "[", italic(o.name),
                           o.repeated ? "..." : "", o.required ? "" : "]");
    out += '\n';
    if (!spec.instead_of_operands.empty())
        out += fmt::format(".br\n{} [{}] {} ...\n", bold(called(spec)), italic("options"),
                           bold(fmt::format("--{}", spec.instead_of_operands)));
    return out;
}

std::string option(const OptionSpec& o) {
    std::string term;
    if (o.letter != 0) term = bold(fmt::format("-{}", o.letter)) + ", ";
    term += bold(fmt::format("--{}", o.name));
    if (o.value != Value::none) term += " " + italic(metavariable(o.value));
    return fmt::format("{}\n{}", term, escaped(o.help));
}

// Of a report: what its fields are.
std::string fields(const CommandSpec& spec) {
    if (spec.name != "tvs" && spec.name != "tvgs" && spec.name != "tvpvs") return "";
    return items("FIELDS", fields_of(selects_from(spec)), [](const Field* f) {
        return fmt::format("{} ({})\n{}", bold(f->name), name_of(f->kind), escaped(f->help));
    });
}

std::string examples(const CommandSpec& spec) {
    if (spec.examples.empty()) return "";
    std::string out = ".SH EXAMPLES\n.nf\n";
    for (const std::string_view example : spec.examples) out += escaped(example) + "\n";
    return out + ".fi\n";
}

}  // namespace

std::string page_name(const CommandSpec& spec) {
    return spec.name.starts_with("tv") ? std::string(spec.name)
                                       : fmt::format("thinvol-{}", spec.name);
}

std::string manual_page(const CommandSpec& spec) {
    std::string out = header(page_name(spec), 8, spec.summary) + synopsis(spec);
    out += ".SH DESCRIPTION\n";
    out += paragraphs(description_of(spec).empty() ? spec.summary : description_of(spec));
    out += items("OPERANDS", spec.operands, [](const OperandSpec& o) {
        return fmt::format("{}\n{}", italic(o.name), escaped(o.help));
    });
    out += items("OPTIONS", spec.options, option);
    std::string excluded;
    for (const Conflict& c : spec.conflicts)
        excluded +=
            fmt::format(".PP\n{} and {} exclude each other.\n", bold(fmt::format("--{}", c.one)),
                        bold(fmt::format("--{}", c.other)));
    out += excluded;
    out += items("COMMON OPTIONS", common_options(), option);
    out += fields(spec) + examples(spec);
    out +=
        ".SH EXIT STATUS\n0: done. 3: the command line is wrong. 4: the environment is not "
        "usable. 5: it failed, for one of its operands at least.\n";
    if (spec.name == "tvcheck") out += "1: damage was found.\n";
    return out + ".SH SEE ALSO\n.BR thinvol (7)\n";
}

std::string manual_overview() {
    std::string out = header("thinvol", 7, "thin volumes like LVM's, in userspace");
    const std::string_view text = overview_text();
    bool first = true;  // of its section
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find("\n\n", at), text.size());
        std::string_view block = text.substr(at, end - at);
        if (block.ends_with('\n')) block.remove_suffix(1);
        at = end + 2;
        if (block.starts_with("= ")) {
            std::string title(block.substr(2));
            for (char& c : title)
                c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
            out += fmt::format(".SH {}\n", title);
            first = true;
            if (block != "= Commands") continue;
            for (const CommandSpec* spec : all_commands()) {
                if (!spec->hidden)
                    out += fmt::format(".TP\n{}(8)\n{}\n", bold(page_name(*spec)),
                                       escaped(spec->summary));
            }
            continue;
        }
        const bool example = block.starts_with("    ");
        if (!first || example) out += ".PP\n";
        first = false;
        out += example ? fmt::format(".nf\n{}\n.fi\n", escaped(block)) : escaped(block) + "\n";
    }
    return out;
}

}  // namespace thinvol
