#include "tests/support/oracle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace thinvol {

void fill_stamp(std::span<std::byte> sector, std::uint64_t at, Generation generation) {
    for (std::size_t i = 0; i < sector.size(); i += 16) {
        const std::uint64_t place = at << 8 | i / 16;
        std::memcpy(sector.data() + i, &generation, 8);
        std::memcpy(sector.data() + i + 8, &place, 8);
    }
}

std::optional<Generation> read_stamp(std::span<const std::byte> sector, std::uint64_t at) {
    const auto word = [&](std::size_t i) {
        std::uint64_t value = 0;
        std::memcpy(&value, sector.data() + 8 * i, 8);
        return value;
    };
    const Generation generation = word(0);
    std::uint64_t wrong = 0;
    for (std::size_t i = 0; i < sector_bytes / 16; ++i) {
        const std::uint64_t place = generation == 0 ? 0 : at << 8 | i;
        wrong |= (word(2 * i) ^ generation) | (word(2 * i + 1) ^ place);
    }
    if (wrong != 0) return std::nullopt;
    return generation;
}

std::size_t VolumeOracle::begin(std::uint64_t at, std::uint64_t n, Generation generation,
                                std::uint64_t now) {
    changes_.push_back({generation, now});
    for (std::uint64_t s = at; s < at + n; ++s)
        sectors_[s].push_back(static_cast<std::uint32_t>(changes_.size() - 1));
    return changes_.size() - 1;
}

void VolumeOracle::ended(std::size_t change, std::uint64_t now, bool durable) {
    changes_[change].ended = now;
    if (durable) changes_[change].durable = now;
}

// A value is out if it ended before a change began that is in effect.
template <class InEffect>
bool VolumeOracle::allowed(std::uint64_t sector, Generation generation, std::uint64_t until,
                           InEffect&& in_effect) const {
    std::uint64_t last_in_effect_began = 0;
    for (std::uint32_t i : sectors_[sector]) {
        if (changes_[i].began < until && in_effect(changes_[i])) {
            last_in_effect_began = std::max(last_in_effect_began, changes_[i].began + 1);
        }
    }
    if (generation == base(sector) && last_in_effect_began == 0) return true;
    return std::any_of(sectors_[sector].begin(), sectors_[sector].end(), [&](std::uint32_t i) {
        const Change& c = changes_[i];
        return c.generation == generation && c.began < until && c.ended >= last_in_effect_began;
    });
}

bool VolumeOracle::may_read(std::uint64_t sector, Generation generation, std::uint64_t began,
                            std::uint64_t now) const {
    return allowed(sector, generation, now, [&](const Change& c) { return c.ended < began; });
}

bool VolumeOracle::may_survive(std::uint64_t sector, Generation generation,
                               std::uint64_t cut) const {
    return allowed(sector, generation, cut, [&](const Change& c) {
        if (c.durable <= cut) return true;
        return std::any_of(flushes_.begin(), flushes_.end(),
                           [&](const Flush& f) { return f.answered <= cut && c.ended < f.began; });
    });
}

std::string VolumeOracle::history(std::uint64_t sector) const {
    const auto time = [](std::uint64_t t) {
        return t == never ? std::string("never") : std::to_string(t);
    };
    std::string text;
    for (std::uint32_t i : sectors_[sector]) {
        const Change& c = changes_[i];
        text += fmt::format(" [{} {}-{} durable {}]", c.generation, time(c.began), time(c.ended),
                            time(c.durable));
    }
    return text;
}

VolumeOracle VolumeOracle::snapshot(std::uint64_t began, std::uint64_t now) const {
    VolumeOracle copy(size(), base_);
    copy.sectors_ = sectors_;
    copy.changes_ = changes_;
    for (Change& c : copy.changes_) {
        if (c.began > now) c.began = never;  // came later: not in it
        if (c.ended < began) c.durable = 0;  // wherever the snapshot is, this is in it
        else c.ended = c.durable = never;
    }
    return copy;
}

}  // namespace thinvol
