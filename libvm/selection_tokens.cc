#include "libvm/selection_tokens.h"

#include <fmt/format.h>

#include <array>
#include <cctype>

namespace thinvol {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }
bool of_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

}  // namespace

Error SelectionTokens::at(std::string_view why) const {
    return {Errc::invalid_argument, fmt::format("selection: at character {}: {}", place(), why)};
}

void SelectionTokens::skip_blanks() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
}

bool SelectionTokens::at_end() {
    skip_blanks();
    return at_ == text_.size();
}

std::string SelectionTokens::rest() const {
    constexpr std::size_t enough = 20;
    return std::string(text_.substr(at_, enough));
}

bool SelectionTokens::take(std::string_view word) {
    skip_blanks();
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
}
bool SelectionTokens::take(char c) { return take(std::string_view(&c, 1)); }
bool SelectionTokens::take_or() { return take("||") || take('#'); }
bool SelectionTokens::take_and() { return take("&&") || take(','); }

Result<std::string> SelectionTokens::name() {
    skip_blanks();
    const std::size_t begin = at_;
    while (at_ < text_.size() && of_name(text_[at_])) ++at_;
    if (at_ > begin) return std::string(text_.substr(begin, at_ - begin));
    return at_end() ? at("a field is missing") : at(fmt::format("\"{}\" is no field", rest()));
}

Result<Operator> SelectionTokens::comparator(std::string_view field) {
    constexpr std::array<std::pair<std::string_view, Operator>, 8> symbols{
        {{"=~", Operator::matches},
         {"!~", Operator::matches_not},
         {"!=", Operator::differs},
         {">=", Operator::greater_equal},
         {"<=", Operator::less_equal},
         {"=", Operator::equal},
         {">", Operator::greater},
         {"<", Operator::less}}};
    constexpr std::array<std::pair<std::string_view, Operator>, 4> words{
        {{"since", Operator::greater_equal},
         {"after", Operator::greater},
         {"until", Operator::less_equal},
         {"before", Operator::less}}};
    for (const auto& [symbol, op] : symbols) {
        if (take(symbol)) return op;
    }
    for (const auto& [word, op] : words) {
        const std::size_t end = at_ + word.size();
        if ((end >= text_.size() || !of_name(text_[end])) && take(word)) return op;
    }
    return at(fmt::format("a comparison is missing behind {}", field));
}

Result<std::string> SelectionTokens::quoted(char quote) {
    std::string value;
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
        if (text_[at_] == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] == quote) ++at_;
        value += text_[at_];
    }
    if (at_ == text_.size()) return at("the closing quote is missing");
    ++at_;
    return value;
}

bool SelectionTokens::ends_value() const {
    const std::string_view rest = text_.substr(at_);
    return rest.empty() || is_blank(rest[0]) || std::string_view(",#()[]{}").contains(rest[0]) ||
           rest.starts_with("&&") || rest.starts_with("||");
}

Result<std::string> SelectionTokens::value() {
    skip_blanks();
    if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) return quoted(text_[at_]);
    const std::size_t begin = at_;
    while (!ends_value()) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
}

Result<std::string> SelectionTokens::regex() {
    skip_blanks();
    if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) return quoted(text_[at_]);
    const std::size_t begin = at_;
    unsigned open = 0;
    for (; at_ < text_.size(); ++at_) {
        const char c = text_[at_];
        if (is_blank(c)) break;
        if (c == '\\' && at_ + 1 < text_.size()) {
            ++at_;
            continue;
        }
        if (open == 0 && c != '(' && c != '[' && c != '{' && c != ']' && c != '}' && ends_value())
            break;
        if (c == '(' || c == '[' || c == '{') ++open;
        if ((c == ')' || c == ']' || c == '}') && open > 0) --open;
    }
    if (at_ == begin) return at("a regular expression is missing");
    return std::string(text_.substr(begin, at_ - begin));
}

Result<ListWanted> SelectionTokens::list() {
    constexpr std::size_t most = 1000;
    ListWanted wanted;
    const bool exact = take('[');
    if (!exact && !take('{')) {
        auto item = TRY(value());
        wanted.exact = item.empty();  // no items
        if (!item.empty()) wanted.items.push_back(std::move(item));
        return wanted;
    }
    wanted.exact = exact;
    const char end = exact ? ']' : '}';
    if (take(end)) {
        wanted.exact = true;
        return wanted;
    }
    for (bool all = false;;) {
        auto item = TRY(value());
        if (item.empty()) return at("an item of the list is missing");
        wanted.items.push_back(std::move(item));
        if (wanted.items.size() > most) return at(fmt::format("more than {} items", most));
        if (take(end)) return wanted;
        if (take_or()) wanted.any = true;
        else if (take_and()) all = true;
        else return at(fmt::format("a {} is missing", end));
        if (wanted.any && all) return at("a list has either && or ||, not both");
    }
}

}  // namespace thinvol
