// thinvol: all commands in one program, by the name it was called by or as `thinvol COMMAND`.
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <iostream>

#include "commands/help.h"
#include "commands/invocation.h"
#include "commands/select.h"
#include "commands/table.h"
#include "libvm/selection.h"

namespace thinvol {
namespace {

int run_command(const CommandSpec& spec, const std::vector<std::string>& words) {
    auto environment = Environment::from_process();
    Invocation call(spec, environment ? *environment : Environment{}, std::cout, std::cerr,
                    std::cin);
    if (auto parsed = call.parse(words); !parsed) return call.usage(parsed.error().text);
    if (call.has("help")) {
        call.write(help_of(spec));
        return exit_ok;
    }
    if (call.has("longhelp")) {
        call.write(long_help_of(spec));
        return exit_ok;
    }
    if (call.has("version")) {
        call.write(version_text());
        return exit_ok;
    }
    if (call.value_or("select", "") == "help") {
        call.write(selection_help(selects_from(spec)));
        return exit_ok;
    }
    if (!environment) {
        call.fail(environment.error());
        return exit_initialisation;
    }
    return spec.run(call);
}

int run(std::vector<std::string> words) {
    std::string name = std::filesystem::path(words.front()).filename().string();
    words.erase(words.begin());
    if (name == "thinvol") {
        if (words.empty() || words.front() == "--help" || words.front() == "-h") {
            std::cout << help_of_all();
            return exit_ok;
        }
        name = words.front() == "--version" ? "version" : words.front();
        words.erase(words.begin());
    }
    const CommandSpec* spec = find_command(name);
    if (spec == nullptr) {
        std::cerr << "  No such command '" << name << "'.  Try 'thinvol help'.\n";
        return exit_no_command;
    }
    return run_command(*spec, words);
}

// All that was said has got somewhere. A reader that went away, as head(1) does, has had enough.
bool written_out() {
    std::cout.flush();
    if (std::cout) return true;
    pollfd output{STDOUT_FILENO, POLLOUT, 0};
    const bool nobody_reads = ::poll(&output, 1, 0) > 0 && (output.revents & ~POLLOUT) != 0;
    if (!nobody_reads) std::cerr << "  Standard output cannot be written: is its disk full?\n";
    return nobody_reads;
}

}  // namespace
}  // namespace thinvol

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    const int status = thinvol::run({argv, argv + argc});
    return thinvol::written_out() ? status : thinvol::exit_failed;
}
