// Result: the value a call promised, or the Error that says why there is none.
//
// Units       none
// Invariants  (1) an Error has a code other than 0 and a text without a full stop
//             (2) a Result nobody looks at does not compile; ignore(result, why) is the one way
//                 round
// Errors      the few codes below are what callers branch on; the text is for people
// Threads     any; values
// Source      std::expected (C++23)
//
// Text is added where a layer is crossed, so that a message reads from intent to cause:
// "pool0: reading metadata block 17: checksum 0x1b2c0000, expected 0x9f041122".
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace thinvol {

enum class Errc {
    io_error = 1,
    corrupt,  // bytes from a disk, socket or file contradict themselves or their checksum
    out_of_space,
    not_found,
    exists,
    busy,
    invalid_argument,
    unsupported,
    read_only,  // the pool takes no changes in its present state
};

struct Error {
    Errc code;
    std::string text;

    Error(Errc c, std::string t) : code(c), text(std::move(t)) {}
    Error prefixed(std::string_view context) && {
        text.insert(0, ": ").insert(0, context);
        return std::move(*this);
    }
};

// The errno a code stands for where a protocol wants one (NBD uses the same numbers).
int errno_of(Errc code);

template <class T = void>
class [[nodiscard]] Result : public std::expected<T, Error> {
public:
    using std::expected<T, Error>::expected;
    explicit(false) Result(Error e) : std::expected<T, Error>(std::unexpect, std::move(e)) {}
};

// Moves the value out of a Result that has one.
template <class T>
T take(Result<T>&& r) {
    return std::move(r).value();
}
inline void take(Result<void>&&) {}

// Drops an error on purpose; `why` is for the reader.
template <class T>
void ignore(const Result<T>&, std::string_view /*why*/) {}

// Adds what was being attempted to an error that passes through.
template <class T>
Result<T> within(std::string_view context, Result<T>&& r) {
    if (!r) return std::move(r).error().prefixed(context);
    return std::move(r);
}

}  // namespace thinvol

// The value of a Result, or return its error from here. Not behind a comma within braces: g++ does
// not destroy what the braces have made already.
#define TRY(...) TRY_NAMED_(TRY_NAME_(__COUNTER__), __VA_ARGS__)
#define TRY_NAME_(n) TRY_JOIN_(try_result_, n)
#define TRY_JOIN_(a, b) a##b
#define TRY_NAMED_(name, ...)                      \
    __extension__({                                \
        auto name = (__VA_ARGS__);                 \
        if (!name) return std::move(name).error(); \
        ::thinvol::take(std::move(name));          \
    })
