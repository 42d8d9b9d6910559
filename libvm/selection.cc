#include "libvm/selection.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <regex.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <set>

#include "libvm/selection_tokens.h"
#include "libvm/sizes.h"
#include "libvm/times.h"

namespace thinvol {
namespace {

constexpr std::size_t longest_text = 64 << 10;
constexpr std::size_t most_nodes = 1000;
constexpr unsigned deepest = 64;

Error invalid(std::string_view why) {
    return {Errc::invalid_argument, fmt::format("selection: {}", why)};
}

struct Unknown {};
struct Pattern {
    struct Free {
        void operator()(regex_t* r) const {
            ::regfree(r);
            delete r;
        }
    };
    std::unique_ptr<regex_t, Free> compiled;
    bool found_in(const std::string& s) const {
        return ::regexec(compiled.get(), s.c_str(), 0, nullptr, 0) == 0;
    }
};
// A percentage as it is shown; sizes in bytes and counts as they are.
struct Number {
    long double n;
};
struct YesNo {
    bool set;
};
using Wanted = std::variant<Unknown, std::string, Number, YesNo, TimeRange, Pattern, ListWanted>;

struct Comparison {
    std::size_t field = 0;
    Operator op = Operator::equal;
    Wanted wanted;
};
struct Node {
    enum class What { all_of, any_of, none_of, comparison } what = What::all_of;
    std::vector<std::size_t> children;
    Comparison comparison;
};

// --- matching ------------------------------------------------------------------------------------

template <class T>
bool compare(const T& a, Operator op, const T& b) {
    switch (op) {
        case Operator::equal: return a == b;
        case Operator::differs: return a != b;
        case Operator::less: return a < b;
        case Operator::less_equal: return a <= b;
        case Operator::greater: return a > b;
        case Operator::greater_equal: return a >= b;
        case Operator::matches:
        case Operator::matches_not: break;
    }
    return false;
}

// Percents compare as they are shown, so that only what is full is 100.
long double number_of(const Cell& cell) {
    if (const auto* n = std::get_if<std::int64_t>(&cell)) return static_cast<long double>(*n);
    if (const auto* b = std::get_if<Bytes>(&cell)) return static_cast<long double>(b->n);
    if (const auto* p = std::get_if<Percent>(&cell))
        return std::strtold(format_percent(p->part, p->whole).c_str(), nullptr);
    return std::numeric_limits<long double>::quiet_NaN();
}

bool list_matches(const std::vector<std::string>& items, const ListWanted& wanted) {
    const auto has = [&](const std::string& w) {
        return std::find(items.begin(), items.end(), w) != items.end();
    };
    if (wanted.any) return std::any_of(wanted.items.begin(), wanted.items.end(), has);
    if (!std::all_of(wanted.items.begin(), wanted.items.end(), has)) return false;
    return !wanted.exact ||
           std::set<std::string>(items.begin(), items.end()).size() ==
               std::set<std::string>(wanted.items.begin(), wanted.items.end()).size();
}

bool is_negative(Operator op) { return op == Operator::differs || op == Operator::matches_not; }

bool text_matches(const std::string& text, const Comparison& c) {
    if (const auto* pattern = std::get_if<Pattern>(&c.wanted))
        return pattern->found_in(text) != is_negative(c.op);
    return compare(text, c.op, std::get<std::string>(c.wanted));
}

bool comparison_matches(const Field& field, const Cell& cell, const Comparison& c) {
    const bool known = !std::holds_alternative<std::monostate>(cell);
    if (std::holds_alternative<Unknown>(c.wanted)) return known == is_negative(c.op);
    if (field.kind == FieldKind::text)
        return text_matches(known ? std::get<std::string>(cell) : std::string(), c);
    if (field.kind == FieldKind::list) {
        const auto items =
            known ? std::get<std::vector<std::string>>(cell) : std::vector<std::string>();
        const auto* pattern = std::get_if<Pattern>(&c.wanted);
        const bool found =
            pattern != nullptr
                ? std::any_of(items.begin(), items.end(),
                              [&](const std::string& s) { return pattern->found_in(s); })
                : list_matches(items, std::get<ListWanted>(c.wanted));
        return found != is_negative(c.op);
    }
    if (!known) return false;
    if (field.kind == FieldKind::flag)
        return compare(std::get<Flag>(cell).set, c.op, std::get<YesNo>(c.wanted).set);
    if (field.kind == FieldKind::time) {
        const std::int64_t at = std::get<Time>(cell).seconds;
        const TimeRange& range = std::get<TimeRange>(c.wanted);
        const bool within = at >= range.first && at <= range.last;
        if (c.op == Operator::equal || c.op == Operator::differs)
            return within == (c.op == Operator::equal);
        const bool later = c.op == Operator::greater || c.op == Operator::less_equal;
        return compare(at, c.op, later ? range.last : range.first);
    }
    return compare(number_of(cell), c.op, std::get<Number>(c.wanted).n);
}

// --- values --------------------------------------------------------------------------------------

// More repetitions than that, all together, would let a short pattern need much memory.
Result<> check_repetitions(const std::string& pattern) {
    constexpr std::uint64_t most = 255;
    constexpr std::uint64_t most_states = 5000;
    std::uint64_t product = 1;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        const char next = i + 1 < pattern.size() ? pattern[i + 1] : '\0';
        if (pattern[i] == '\\' && std::isdigit(static_cast<unsigned char>(next)) != 0)
            return invalid("a regular expression has no references back, such as \\1, here");
        if (pattern[i] == '\\') {
            ++i;
            continue;
        }
        if (pattern[i] != '{') continue;
        std::uint64_t largest = 0;
        ++i;
        for (std::uint64_t n = 0; i < pattern.size() && pattern[i] != '}'; ++i) {
            const bool digit = std::isdigit(static_cast<unsigned char>(pattern[i])) != 0;
            n = digit ? std::min(most + 1, n * 10 + static_cast<std::uint64_t>(pattern[i] - '0'))
                      : 0;
            largest = std::max(largest, n);
        }
        product *= std::max<std::uint64_t>(1, largest);
        if (product > most || product * pattern.size() > most_states)
            return invalid(fmt::format(
                "a regular expression repeats {} times at most by all its {{}}, a longer one fewer",
                most));
    }
    return {};
}

Result<Wanted> pattern_of(const std::string& text) {
    constexpr std::size_t longest = 1024;
    if (text.size() > longest)
        return invalid(fmt::format("a regular expression has {} characters at most", longest));
    if (text.contains('\0')) return invalid("a regular expression has no NUL");
    TRY(check_repetitions(text));
    auto raw = std::make_unique<regex_t>();
    if (const int error = ::regcomp(raw.get(), text.c_str(), REG_EXTENDED | REG_NOSUB)) {
        std::array<char, 128> why{};
        ::regerror(error, raw.get(), why.data(), why.size());
        return invalid(fmt::format("regular expression \"{}\": {}", text, why.data()));
    }
    Pattern pattern;
    pattern.compiled.reset(raw.release());
    return Wanted(std::move(pattern));
}

// What a user may write for a word that fields show.
std::string_view usual_word(std::string_view word) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 9> synonyms{
        {{"rw", "writeable"},
         {"read-write", "writeable"},
         {"writable", "writeable"},
         {"r", "read-only"},
         {"ro", "read-only"},
         {"error if no space", "error"},
         {"error_if_no_space", "error"},
         {"queue if no space", "queue"},
         {"queue_if_no_space", "queue"}}};
    for (const auto& [said, usual] : synonyms) {
        if (word == said) return usual;
    }
    return word;
}

Result<Wanted> word_of(const Field& field, const std::string& text) {
    const auto& words = field.words;
    if (words.empty() || text.empty() || std::find(words.begin(), words.end(), text) != words.end())
        return Wanted(text);
    const std::string usual(usual_word(text));
    if (std::find(words.begin(), words.end(), usual) != words.end()) return Wanted(usual);
    return invalid(
        fmt::format("\"{}\": {} is one of {}", text, field.name, fmt::join(words, ", ")));
}

Result<Wanted> number_wanted(const Field& field, std::string_view text) {
    const bool percent = field.kind == FieldKind::percent;
    if (percent && text.ends_with('%')) text.remove_suffix(1);
    const std::string digits(text);
    char* end = nullptr;
    const bool plain =
        !digits.empty() && digits.find_first_not_of("0123456789.-") == std::string::npos;
    const long double n = plain ? std::strtold(digits.c_str(), &end) : 0;
    if (!plain || *end != '\0' || !std::isfinite(n))
        return invalid(
            fmt::format("\"{}\" is no {}, as {} wants", text, name_of(field.kind), field.name));
    return Wanted(Number{n});
}

Result<Wanted> flag_wanted(const Field& field, const std::string& text) {
    for (const std::string_view yes : {"1", "y", "yes"}) {
        if (text == yes) return Wanted(YesNo{true});
    }
    for (const std::string_view no : {"0", "n", "no", ""}) {
        if (text == no) return Wanted(YesNo{false});
    }
    if (std::find(field.words.begin(), field.words.end(), text) != field.words.end())
        return Wanted(YesNo{true});
    return invalid(
        fmt::format("\"{}\": {} is {}, yes or no", text, field.name, fmt::join(field.words, ", ")));
}

Result<Wanted> size_wanted(const Field& field, const std::string& text) {
    auto size = parse_size(text, 'm');
    if (!size || size->sign != Sign::none)
        return invalid(fmt::format("\"{}\" is no size, as {} wants", text, field.name));
    return Wanted(Number{static_cast<long double>(size->size.n)});
}

bool allowed(FieldKind kind, Operator op) {
    const bool text = kind == FieldKind::text || kind == FieldKind::list;
    if (op == Operator::equal || op == Operator::differs) return true;
    if (op == Operator::matches || op == Operator::matches_not) return text;
    return !text && kind != FieldKind::flag;
}

Result<Wanted> value_wanted(const Field& field, Operator op, SelectionTokens& in,
                            std::int64_t now) {
    if (op == Operator::matches || op == Operator::matches_not) return pattern_of(TRY(in.regex()));
    if (field.kind == FieldKind::list) {
        auto list = TRY(in.list());
        return Wanted(std::move(list));
    }
    const auto text = TRY(in.value());
    if (field.kind == FieldKind::text) return word_of(field, text);
    if (text == "unknown" || text == "undefined") {
        if (op == Operator::equal || op == Operator::differs) return Wanted(Unknown{});
        return invalid(fmt::format("\"{}\" is compared by = and != only", text));
    }
    switch (field.kind) {
        case FieldKind::flag: return flag_wanted(field, text);
        case FieldKind::size: return size_wanted(field, text);
        case FieldKind::time: {
            auto range = parse_time(text, now);
            if (!range) return invalid(range.error().text);
            return Wanted(*range);
        }
        default: return number_wanted(field, text);
    }
}

}  // namespace

// --- parsing -------------------------------------------------------------------------------------

struct Selection::Parts {
    std::vector<const Field*> fields;
    std::vector<Node> nodes;
    std::size_t top = 0;

    bool matches(std::size_t node, std::span<const Cell> cells) const {
        const Node& n = nodes[node];
        const auto child = [&](std::size_t c) { return matches(c, cells); };
        switch (n.what) {
            case Node::What::all_of:
                return std::all_of(n.children.begin(), n.children.end(), child);
            case Node::What::any_of:
                return std::any_of(n.children.begin(), n.children.end(), child);
            case Node::What::none_of:
                return std::none_of(n.children.begin(), n.children.end(), child);
            case Node::What::comparison: break;
        }
        const std::size_t f = n.comparison.field;
        return comparison_matches(*fields[f], cells[f], n.comparison);
    }
};

namespace {

// By recursive descent; `any` binds loosest.
template <class Parts>
class Parser {
public:
    Parser(Parts& parts, std::string_view text, ReportKind kind, std::int64_t now)
        : parts_(parts), in_(text), kind_(kind), now_(now) {}

    Result<> run() {
        parts_.top = TRY(any(0));
        if (in_.at_end()) return {};
        return invalid(
            fmt::format("at character {}: \"{}\" does not belong there", in_.place(), in_.rest()));
    }

private:
    Result<std::size_t> add(Node node) {
        if (parts_.nodes.size() >= most_nodes)
            return invalid(fmt::format("it has more than {} comparisons", most_nodes));
        parts_.nodes.push_back(std::move(node));
        return parts_.nodes.size() - 1;
    }
    // Operands joined by the one operator that `more` takes.
    Result<std::size_t> joined(Node::What what, unsigned depth,
                               Result<std::size_t> (Parser::*operand)(unsigned),
                               bool (SelectionTokens::*more)()) {
        std::vector<std::size_t> children;
        do {
            children.push_back(TRY((this->*operand)(depth)));
        } while ((in_.*more)());
        if (children.size() == 1) return children.front();
        return add(Node{what, std::move(children), {}});
    }
    Result<std::size_t> any(unsigned depth) {
        if (depth > deepest) return invalid(fmt::format("it is nested more than {} deep", deepest));
        return joined(Node::What::any_of, depth, &Parser::all, &SelectionTokens::take_or);
    }
    Result<std::size_t> all(unsigned depth) {
        return joined(Node::What::all_of, depth, &Parser::one, &SelectionTokens::take_and);
    }
    Result<std::size_t> one(unsigned depth) {
        if (depth > deepest) return invalid(fmt::format("it is nested more than {} deep", deepest));
        if (in_.take('!')) {
            const std::size_t child = TRY(one(depth + 1));
            return add(Node{Node::What::none_of, {child}, {}});
        }
        if (!in_.take('(')) return comparison();
        const std::size_t inner = TRY(any(depth + 1));
        if (!in_.take(')'))
            return invalid(fmt::format("at character {}: a ) is missing", in_.place()));
        return inner;
    }
    Result<std::size_t> comparison() {
        const std::string name = TRY(in_.name());
        const Field* field = TRY(find_field(kind_, name));
        if ((field->needs & needs_selected) != 0)
            return invalid(fmt::format("{} is of what is selected, and cannot select", name));
        Comparison c;
        c.op = TRY(in_.comparator(name));
        if (!allowed(field->kind, c.op))
            return invalid(
                fmt::format("{} is a {}, which has no such comparison; \"-S help\" lists "
                            "them",
                            field->name, name_of(field->kind)));
        c.wanted = TRY(value_wanted(*field, c.op, in_, now_));
        const auto known = std::find(parts_.fields.begin(), parts_.fields.end(), field);
        c.field = static_cast<std::size_t>(known - parts_.fields.begin());
        if (known == parts_.fields.end()) parts_.fields.push_back(field);
        return add(Node{Node::What::comparison, {}, std::move(c)});
    }

    Parts& parts_;
    SelectionTokens in_;
    ReportKind kind_;
    std::int64_t now_;
};

}  // namespace

Selection::Selection(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}
Selection::Selection(Selection&&) noexcept = default;
Selection& Selection::operator=(Selection&&) noexcept = default;
Selection::~Selection() = default;

Result<Selection> Selection::parse(std::string_view text, ReportKind kind, std::int64_t now) {
    if (text.size() > longest_text)
        return invalid(fmt::format("it has more than {} characters", longest_text));
    auto parts = std::make_unique<Parts>();
    TRY(Parser<Parts>(*parts, text, kind, now).run());
    return Selection(std::move(parts));
}

const std::vector<const Field*>& Selection::fields() const { return parts_->fields; }

bool Selection::matches(std::span<const Cell> cells) const {
    return parts_->matches(parts_->top, cells);
}

std::string selection_help(ReportKind kind) {
    std::string text = "  Fields:\n";
    for (const Field* f : fields_of(kind)) {
        if ((f->needs & needs_selected) != 0) continue;
        text += fmt::format(
            "    {:<24}{:<9}{}\n", f->name, name_of(f->kind),
            f->words.empty() ? std::string(f->help) : fmt::format("{}", fmt::join(f->words, ", ")));
    }
    return text + R"(
  Comparisons:
    =  !=              equal, not equal; all fields
    =~  !~             regular expression found, not found; texts and lists
    >  >=  <  <=       numbers, sizes, percents, times
    after  since  before  until    the same, for times

  Values:
    text               quoted where it has blanks or operators: "a b"
    sizes              10g, 512k; MiB without a letter
    times              @1700000000, 2026-05-01 12:30, today, monday, "2 weeks ago"
    lists              a: has it; {a,b}: has all; [a,b]: has just these; {a||b}: has one of them
    flags              their word, yes or no, 1 or 0
    unknown            what is not known, of anything but texts and lists

  Joined by && or a comma, || or #, ! and parentheses.
)";
}

}  // namespace thinvol
