// pool_features: how a pool treats new blocks, discards and a lack of space.
//
// Units       as noted
// Invariants  none; a value
// Errors      invalid_argument for a word that is no feature
// Threads     any
// Source      Documentation/admin-guide/device-mapper/thin-provisioning.rst, "Constructor"
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/units.h"

namespace thinvol {

enum class Discards {
    passdown,    // unmapped, and what nothing refers to any more is discarded below
    nopassdown,  // unmapped only
    ignore,      // not even unmapped
};

struct PoolFeatures {
    bool zero_new_blocks = true;
    Discards discards = Discards::passdown;
    bool read_only = false;
    bool error_if_no_space = false;             // else writes wait for space
    std::chrono::seconds no_space_timeout{60};  // how long; 0: for ever
    DataBlocks low_water{};                     // an event when this much is left
    Bytes discard_rate{};                 // passed down a second at most; 0: as fast as it goes
    std::vector<unsigned> fill_levels{};  // percent, an event at each: data and metadata

    bool operator==(const PoolFeatures&) const = default;
};

// The kernel's words, in the order in which its table shows them; what it does not know is left
// out.
std::vector<std::string> feature_words(const PoolFeatures& features);
Result<> add_feature_word(PoolFeatures& features, std::string_view word);

}  // namespace thinvol
