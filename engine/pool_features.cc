#include "engine/pool_features.h"

#include <fmt/format.h>

#include <algorithm>

namespace thinvol {

std::vector<std::string> feature_words(const PoolFeatures& features) {
    std::vector<std::string> words;
    if (!features.zero_new_blocks) words.emplace_back("skip_block_zeroing");
    if (features.discards == Discards::ignore) words.emplace_back("ignore_discard");
    if (features.discards == Discards::nopassdown) words.emplace_back("no_discard_passdown");
    if (features.read_only) words.emplace_back("read_only");
    if (features.error_if_no_space) words.emplace_back("error_if_no_space");
    return words;
}

Result<> add_feature_word(PoolFeatures& features, std::string_view word) {
    std::string lower(word);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (lower == "skip_block_zeroing") features.zero_new_blocks = false;
    else if (lower == "ignore_discard") features.discards = Discards::ignore;
    else if (lower == "no_discard_passdown") features.discards = Discards::nopassdown;
    else if (lower == "read_only") features.read_only = true;
    else if (lower == "error_if_no_space") features.error_if_no_space = true;
    else return Error(Errc::invalid_argument, fmt::format("\"{}\" is no feature of a pool", word));
    return {};
}

}  // namespace thinvol
