#include "engine/xml_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <unordered_map>
#include <vector>

namespace thinvol {
namespace {

constexpr std::size_t buffer_bytes = 1 << 20;
constexpr std::size_t runs_at_once = 4096;
constexpr std::size_t attributes_max = 8;

struct Attribute {
    std::string_view name;
    std::string_view value;  // as it is written, with entities
};

// <name attributes>, </name> or <name attributes/>.
struct Element {
    std::string_view name;
    std::array<Attribute, attributes_max> attributes;
    std::size_t count = 0;
    bool closes = false;
    bool empty = false;
};

constexpr bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
constexpr bool is_name(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }

enum class Scan { element, skipped, incomplete, wrong };

// Over text that may end anywhere: `incomplete` means "more text, and again from the start".
class Scanner {
public:
    Scanner(const char* at, const char* end) : at_(at), end_(end) {}
    // What begins at '<'. `skipped`: a comment or a prolog.
    Scan scan(Element& element);
    const char* at() const { return at_; }
    const char* complaint() const { return complaint_; }

private:
    Scan wrong(const char* complaint) {
        complaint_ = complaint;
        return Scan::wrong;
    }
    bool skip_to(std::string_view what) {
        const auto found = std::string_view(at_, end_).find(what);
        if (found == std::string_view::npos) return false;
        at_ += found + what.size();
        return true;
    }
    void skip_space() {
        while (at_ != end_ && is_space(*at_)) ++at_;
    }
    std::string_view name() {
        const char* from = at_;
        while (at_ != end_ && is_name(*at_)) ++at_;
        return {from, at_};
    }
    Scan attribute(Attribute& attribute);

    const char* at_;
    const char* end_;
    const char* complaint_ = "";
};

Scan Scanner::attribute(Attribute& attribute) {
    attribute.name = name();
    skip_space();
    if (at_ == end_) return Scan::incomplete;
    if (attribute.name.empty() || *at_ != '=')
        return wrong("an attribute is not of the form x=\"y\"");
    ++at_;
    skip_space();
    if (at_ == end_) return Scan::incomplete;
    const char quote = *at_++;
    if (quote != '"' && quote != '\'') return wrong("a value is not in quotes");
    const char* from = at_;
    while (at_ != end_ && *at_ != quote && *at_ != '<') ++at_;
    if (at_ == end_) return Scan::incomplete;
    if (*at_ == '<') return wrong("a value has no closing quote");
    attribute.value = {from, at_++};
    return Scan::element;
}

Scan Scanner::scan(Element& element) {
    constexpr std::string_view comment = "<!--";
    const std::string_view text(at_, end_);
    if (text.size() < comment.size()) return Scan::incomplete;
    if (text.starts_with(comment)) {
        at_ += comment.size();
        return skip_to("-->") ? Scan::skipped : Scan::incomplete;
    }
    if (text.starts_with("<?")) return skip_to("?>") ? Scan::skipped : Scan::incomplete;
    ++at_;
    element.closes = *at_ == '/';
    if (element.closes) ++at_;
    element.name = name();
    element.count = 0;
    element.empty = false;
    if (at_ != end_ && element.name.empty()) return wrong("no element begins here");
    for (;;) {
        const char* before = at_;
        skip_space();
        if (at_ == end_) return Scan::incomplete;
        if (*at_ == '/' && !element.closes) {
            if (++at_ == end_) return Scan::incomplete;
            element.empty = true;
            if (*at_ != '>') return wrong("a '/' that does not end an element");
        }
        if (*at_ == '>') {
            ++at_;
            return Scan::element;
        }
        if (before == at_) return wrong("no space between two attributes, or a wrong character");
        if (element.closes || element.count == attributes_max)
            return wrong("more attributes than an element has");
        const Scan outcome = attribute(element.attributes[element.count]);
        if (outcome != Scan::element) return outcome;
        ++element.count;
    }
}

// The few entities that XML has by itself.
Result<std::string> unescaped(std::string_view text) {
    constexpr std::pair<std::string_view, char> named[] = {
        {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    std::string plain;
    while (!text.empty()) {
        const std::size_t amp = std::min(text.find('&'), text.size());
        plain.append(text.substr(0, amp));
        text.remove_prefix(amp);
        if (text.empty()) break;
        const std::size_t end = std::min(text.find(';'), text.size());
        const std::string_view entity = text.substr(1, std::max<std::size_t>(end, 1) - 1);
        unsigned code = 0;
        for (const auto& [name, c] : named)
            if (entity == name) code = static_cast<unsigned char>(c);
        if (entity.starts_with('#')) {
            const char* last = entity.data() + entity.size();
            if (std::from_chars(entity.data() + 1, last, code).ptr != last) code = 0;
        }
        if (code == 0 || code > 255 || end == text.size())
            return Error(Errc::corrupt, fmt::format("\"{}\" is no character", text.substr(0, end)));
        plain += static_cast<char>(code);
        text.remove_prefix(end + 1);
    }
    return plain;
}

class Reader {
public:
    Reader(const TextSource& source, MetadataVisitor& visitor)
        : source_(source), visitor_(visitor), buffer_(buffer_bytes) {
        runs_.reserve(runs_at_once);
    }
    Result<> run();

private:
    enum class Place { before, pool, subtree, volume, mapping, reference, after };

    Result<> at_line(Result<>&& outcome) const;
    Error bad(std::string text) const { return {Errc::corrupt, std::move(text)}; }
    Result<bool> refill();
    Result<> text();
    Result<> found(const Element& element);
    Result<> opened(const Element& element);
    Result<> closed(const Element& element);
    Result<> leave(Place place);
    Result<> flush_runs();
    Result<> begin_pool(const Element& element);
    Result<> begin_volume(const Element& element);
    Result<> mapping(const Element& element, bool range);
    Result<std::uint64_t> subtree_named(const Element& element, bool is_new);

    // Attributes by name, each at most once; rest() refuses others.
    class Attributes;

    const TextSource& source_;
    MetadataVisitor& visitor_;
    std::vector<char> buffer_;
    std::size_t from_ = 0;   // of what is not scanned yet
    std::size_t until_ = 0;  // of what was read
    bool at_end_ = false;
    std::uint64_t lines_ = 1;  // up to the buffer's beginning
    Place place_ = Place::before;
    Place around_ = Place::before;  // a mapping or a reference that is not empty
    std::string_view open_mapping_;
    std::vector<MappingRun> runs_;
    std::unordered_map<std::string, std::uint64_t> names_;
};

class Reader::Attributes {
public:
    explicit Attributes(const Element& element) : element_(element) {}

    const Attribute* find(std::string_view name) {
        const std::size_t n = element_.count;
        // They are nearly always in the order in which they are asked for.
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t at = taken_ + i < n ? taken_ + i : taken_ + i - n;
            if (element_.attributes[at].name != name) continue;
            seen_ |= 1U << at;
            taken_ = at + 1;
            return &element_.attributes[at];
        }
        return nullptr;
    }
    Result<std::uint64_t> number(std::string_view name) {
        const Attribute* found = find(name);
        if (found == nullptr)
            return Error(Errc::corrupt, fmt::format("<{}> without {}", element_.name, name));
        return value_of(*found);
    }
    Result<std::uint64_t> number_or(std::string_view name, std::uint64_t otherwise) {
        const Attribute* found = find(name);
        if (found == nullptr) return otherwise;
        return value_of(*found);
    }
    Result<> rest() const {
        for (std::size_t i = 0; i < element_.count; ++i) {
            if (!(seen_ >> i & 1))
                return Error(Errc::corrupt,
                             fmt::format("<{}> has no attribute {}, or has it twice", element_.name,
                                         element_.attributes[i].name));
        }
        return {};
    }

private:
    Result<std::uint64_t> value_of(const Attribute& attribute) const {
        const char* p = attribute.value.data();
        const char* end = p + attribute.value.size();
        std::uint64_t value = 0;
        if (end - p <= 18 && p != end) {  // cannot overflow
            for (; p != end && *p >= '0' && *p <= '9'; ++p)
                value = value * 10 + static_cast<std::uint64_t>(*p - '0');
            if (p == end) return value;
        } else if (auto r = std::from_chars(p, end, value); r.ec == std::errc() && r.ptr == end) {
            return value;
        }
        return Error(Errc::corrupt,
                     fmt::format("<{}>: {}=\"{}\" is no number of 64 bits", element_.name,
                                 attribute.name, attribute.value.substr(0, 40)));
    }

    const Element& element_;
    std::size_t taken_ = 0;
    std::uint32_t seen_ = 0;
};

// More text behind what is left; false at the end of it.
Result<bool> Reader::refill() {
    lines_ += static_cast<std::uint64_t>(
        std::count(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(from_), '\n'));
    std::memmove(buffer_.data(), buffer_.data() + from_, until_ - from_);
    until_ -= from_;
    from_ = 0;
    if (until_ >= element_max)
        return bad(fmt::format("an element or comment of more than {} bytes", element_max));
    const std::size_t n = TRY(source_(std::span(buffer_).subspan(until_)));
    ASSERT(n <= buffer_.size() - until_);
    until_ += n;
    at_end_ = n == 0;
    return n > 0;
}

Result<> Reader::at_line(Result<>&& outcome) const {
    if (outcome) return {};
    const auto line =
        lines_ + static_cast<std::uint64_t>(std::count(
                     buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(from_), '\n'));
    return std::move(outcome).error().prefixed(fmt::format("line {}", line));
}

// White space up to the next '<'.
Result<> Reader::text() {
    while (from_ < until_ && is_space(buffer_[from_])) ++from_;
    if (from_ == until_ || buffer_[from_] == '<') return {};
    return bad("text between elements");
}

Result<> Reader::run() {
    Element element;
    for (;;) {
        TRY(at_line(text()));
        Scanner scanner(buffer_.data() + from_, buffer_.data() + until_);
        const Scan scanned = from_ == until_ ? Scan::incomplete : scanner.scan(element);
        if (scanned == Scan::wrong) return at_line(bad(scanner.complaint()));
        if (scanned == Scan::incomplete) {
            auto more = refill();
            if (!more) return at_line(std::move(more).error());
            if (*more) continue;
            if (from_ == until_) break;
            return at_line(bad("the file ends within an element"));
        }
        if (scanned == Scan::element) TRY(at_line(found(element)));
        from_ = static_cast<std::size_t>(scanner.at() - buffer_.data());
    }
    if (place_ == Place::after) return visitor_.end();
    return at_line(bad(place_ == Place::before ? "no <superblock>: this is no thin_dump XML"
                                               : "the file ends before </superblock>"));
}

Result<> Reader::found(const Element& element) {
    if (element.closes) return closed(element);
    TRY(opened(element));
    if (element.empty && place_ != Place::mapping) return closed(element);
    if (element.empty) place_ = around_;
    return {};
}

Result<> Reader::opened(const Element& element) {
    const bool inside = place_ == Place::volume || place_ == Place::subtree;
    if (inside && (element.name == "single_mapping" || element.name == "range_mapping")) {
        TRY(mapping(element, element.name == "range_mapping"));
        open_mapping_ = element.name == "range_mapping" ? "range_mapping" : "single_mapping";
    } else if (place_ == Place::volume && element.name == "ref") {
        TRY(flush_runs());
        TRY(visitor_.subtree(TRY(subtree_named(element, false))));
        open_mapping_ = "ref";
    } else if (place_ == Place::pool && element.name == "device") {
        TRY(begin_volume(element));
        place_ = Place::volume;
        return {};
    } else if (place_ == Place::pool && element.name == "def") {
        TRY(visitor_.begin_subtree(TRY(subtree_named(element, true))));
        place_ = Place::subtree;
        return {};
    } else if (place_ == Place::before && element.name == "superblock") {
        TRY(begin_pool(element));
        place_ = Place::pool;
        return {};
    } else {
        return bad(fmt::format("<{}> does not belong here", element.name));
    }
    around_ = place_;
    place_ = Place::mapping;
    return {};
}

Result<> Reader::closed(const Element& element) {
    if (place_ == Place::volume && element.name == "device") {
        TRY(flush_runs());
        place_ = Place::pool;
        return visitor_.end_volume();
    }
    if (place_ == Place::subtree && element.name == "def") {
        TRY(flush_runs());
        place_ = Place::pool;
        return visitor_.end_subtree();
    }
    if (place_ == Place::mapping && element.name == open_mapping_) {
        place_ = around_;
        return {};
    }
    if (place_ == Place::pool && element.name == "superblock") {
        place_ = Place::after;
        return {};
    }
    return bad(fmt::format("</{}> closes nothing that is open", element.name));
}

Result<> Reader::flush_runs() {
    const Result<> outcome = visitor_.runs(runs_);
    runs_.clear();
    return outcome;
}

Result<> Reader::begin_pool(const Element& element) {
    Attributes attributes(element);
    PoolFacts facts;
    if (const Attribute* uuid = attributes.find("uuid")) facts.uuid = TRY(unescaped(uuid->value));
    facts.time = TRY(attributes.number("time"));
    facts.transaction_id = {TRY(attributes.number("transaction"))};
    const std::uint64_t flags = TRY(attributes.number_or("flags", 0));
    if (flags > flag_needs_check) return bad(fmt::format("flags {} are not known", flags));
    facts.needs_check = flags != 0;
    const std::uint64_t version = TRY(attributes.number_or("version", superblock_version));
    if (version > superblock_version)
        return bad(fmt::format("version {}, {} is the newest known", version, superblock_version));
    facts.version = static_cast<std::uint32_t>(version);
    facts.data_block_size = Sectors(TRY(attributes.number("data_block_size")));
    facts.data_blocks = DataBlocks(TRY(attributes.number("nr_data_blocks")));
    facts.metadata_snapshot = MetadataBlock(TRY(attributes.number_or("metadata_snap", 0)));
    TRY(attributes.rest());
    return visitor_.pool(facts);
}

Result<> Reader::begin_volume(const Element& element) {
    Attributes attributes(element);
    VolumeFacts facts;
    facts.id = TRY(attributes.number("dev_id"));
    facts.mapped_blocks = TRY(attributes.number("mapped_blocks"));
    facts.created_in = {TRY(attributes.number("transaction"))};
    facts.creation_time = TRY(attributes.number("creation_time"));
    facts.snapshotted_time = TRY(attributes.number("snap_time"));
    TRY(attributes.rest());
    return visitor_.begin_volume(facts);
}

Result<> Reader::mapping(const Element& element, bool range) {
    Attributes attributes(element);
    MappingRun run;
    run.origin = TRY(attributes.number(range ? "origin_begin" : "origin_block"));
    run.data = TRY(attributes.number(range ? "data_begin" : "data_block"));
    run.length = range ? TRY(attributes.number("length")) : 1;
    run.time = TRY(attributes.number("time"));
    TRY(attributes.rest());
    runs_.push_back(run);
    return runs_.size() < runs_at_once ? Result<>() : flush_runs();
}

Result<std::uint64_t> Reader::subtree_named(const Element& element, bool is_new) {
    Attributes attributes(element);
    const Attribute* name = attributes.find("name");
    TRY(attributes.rest());
    if (name == nullptr) return bad(fmt::format("<{}> without name", element.name));
    const auto [at, added] = names_.try_emplace(std::string(name->value), names_.size());
    if (added == is_new) return at->second;
    return bad(fmt::format("<{} name=\"{}\"> {}", element.name, name->value.substr(0, 40),
                           is_new ? "is there twice" : "has no <def> before it"));
}

}  // namespace

Result<> read_xml(const TextSource& source, MetadataVisitor& visitor) {
    return Reader(source, visitor).run();
}

}  // namespace thinvol
