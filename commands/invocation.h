// Invocation: one call of a command: its parsed arguments, where it reads and writes, and what it
// may ask.
//
// Units       none
// Invariants  (1) results go to stdout and nothing else does: JSON stays JSON; all else goes to
//                 stderr
//             (2) each line begins with two spaces, as LVM's do
// Errors      parse() says what is wrong with the command line; exit status 3
// Threads     one
// Source      lvm(8); Boost.Program_options does the parsing
#pragma once

#include <fmt/format.h>

#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "commands/command_spec.h"
#include "libvm/session.h"

namespace thinvol {

// Exit statuses, LVM's.
inline constexpr int exit_ok = 0;
inline constexpr int exit_no_command = 2;
inline constexpr int exit_usage = 3;
inline constexpr int exit_initialisation = 4;
inline constexpr int exit_failed = 5;

class Invocation {
public:
    Invocation(const CommandSpec& spec, Environment environment, std::ostream& out,
               std::ostream& err, std::istream& in)
        : spec_(spec), environment_(std::move(environment)), out_(out), err_(err), in_(in) {}

    // The words behind the command's name.
    Result<> parse(const std::vector<std::string>& words);

    const CommandSpec& spec() const { return spec_; }
    const Environment& environment() const { return environment_; }
    bool has(std::string_view option) const { return options_.contains(std::string(option)); }
    // The last value given; only for options that has() says are there.
    const std::string& value(std::string_view option) const {
        return options_.at(std::string(option)).back();
    }
    std::string value_or(std::string_view option, std::string_view otherwise) const {
        return has(option) ? value(option) : std::string(otherwise);
    }
    std::vector<std::string> values(std::string_view option) const {
        return has(option) ? options_.at(std::string(option)) : std::vector<std::string>();
    }
    const std::vector<std::string>& operands() const { return operands_; }

    // A result, for stdout, as it is.
    void write(std::string_view text);
    // "  Logical volume "x" created." Not with -q.
    template <class... Args>
    void say(fmt::format_string<Args...> text, Args&&... args) {
        if (!has("quiet"))
            write(fmt::format("  {}\n", fmt::format(text, std::forward<Args>(args)...)));
    }
    void warn(std::string_view text);
    // Reports an error; its exit status.
    int fail(const Error& error);
    int usage(std::string_view text);
    // Asks on stderr; no answer counts as no. Yes at once with -y, no with -qq.
    bool confirm(const std::string& question);

    // With --test, of a command that honours it, a rehearsal.
    Result<Session> session() const;

private:
    Result<> check(const std::vector<std::string>& words) const;

    const CommandSpec& spec_;
    Environment environment_;
    std::ostream& out_;
    std::ostream& err_;
    std::istream& in_;
    std::map<std::string, std::vector<std::string>> options_;
    std::vector<std::string> operands_;
};

// Options of every command.
std::span<const OptionSpec> common_options();

}  // namespace thinvol

// In a command's run(): the value, or report the error and end.
#define TRY_OR_FAIL(invocation, ...) TRY_OR_FAIL_(TRY_NAME_(__COUNTER__), invocation, __VA_ARGS__)
#define TRY_OR_FAIL_(name, invocation, ...)                \
    __extension__({                                        \
        auto name = (__VA_ARGS__);                         \
        if (!name) return (invocation).fail(name.error()); \
        ::thinvol::take(std::move(name));                  \
    })
