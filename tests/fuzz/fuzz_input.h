// FuzzInput: the bytes of one execution, taken from the front as what a target needs; when they are
// used up, zeroes come.
//
// Units       bytes; numbers are little-endian
// Invariants  the same bytes give the same calls, so an input kept as a file repeats what it did
// Errors      none; must() and demand() end the process, which libFuzzer keeps as a crash
// Threads     one
// Source      libFuzzer's FuzzedDataProvider (the idea)
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/le.h"
#include "engine/base/result.h"

namespace thinvol {

class FuzzInput {
public:
    FuzzInput(const std::uint8_t* data, std::size_t n)
        : rest_(reinterpret_cast<const std::byte*>(data), n) {}

    bool empty() const { return rest_.empty(); }
    template <std::unsigned_integral T>
    T number() {
        std::array<std::byte, sizeof(T)> raw{};
        const auto some = bytes(sizeof(T));
        std::copy(some.begin(), some.end(), raw.begin());
        return load_le<T>(raw.data());
    }
    std::uint8_t byte() { return number<std::uint8_t>(); }
    // As many, or what is left.
    std::span<const std::byte> bytes(std::size_t n) {
        const auto some = rest_.first(std::min(n, rest_.size()));
        rest_ = rest_.subspan(some.size());
        return some;
    }
    std::string_view text(std::size_t n) {
        const auto some = bytes(n);
        return {reinterpret_cast<const char*>(some.data()), some.size()};
    }
    std::string_view rest() { return text(rest_.size()); }

private:
    std::span<const std::byte> rest_;
};

inline void demand(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

// The value of what cannot fail here.
template <class T>
T must(Result<T>&& r) {
    demand(r.has_value(), r ? "" : r.error().text.c_str());
    return take(std::move(r));
}

}  // namespace thinvol
