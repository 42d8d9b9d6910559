// Goal: S56: a name that nobody may have is refused by every command that takes a name, in every
//       place where it takes one; it becomes no path, no option and no row, and nothing changes.
// Method: the commands' own declarations say where names go; each of these places gets each name,
//       within a command line that is right otherwise, in an environment with a group, a pool, a
//       volume, a snapshot. 500 names: those known to be trouble, and mixtures of them by the seed.
//
//     thinvol-hostile-names [--budget SECONDS] [--seed N]     prints `executed distinct failures`
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/names.h"
#include "libvm/tags.h"

namespace thinvol {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

constexpr std::size_t names_wanted = 500;

constexpr std::string_view trouble[] = {
    // clang-format off
    "", " ", ".", "..", "...", "/", "//", "./", "../", "../..", "../x", "/etc/passwd",
    "/dev/null", "/proc/self/environ", "vg0/../v", "vg0//v", "vg0/", "/v", "vg0/v/", "vg0/v/x",
    "/dev/", "/dev/vg1", "/dev/vg0/../v", "/dev/mapper/", "/dev/mapper/vg1", "-", "--", "-x",
    "--yes", "--help", "-y", "a b", " a", "a ", "a\nb", "\n", "a\r", "a\tb", "\x7f", "\x01",
    "a:b", "a,b", "a;b", "a&b", "a|b", "a>b", "a<b", "a*", "*", "?", "[a]", "{a}", "a!", "a#",
    "#", "a%b", "%s%s%n", "%2e%2e", "%2f", "a@b", "@", "a=b", "a'b", "'", "\"", "a\"b", "`id`",
    "$HOME", "$(id)", "~", "~root", "\\", "a\\b", "C:\\x", "'; DROP TABLE lv; --", "' OR '1'='1",
    "\"}],\"x\":[{", "null\\u0000", "<x>", "&lt;", "(a)", "a^b", "a~b", "\xc3\xa4", "a\xcc\x88",
    "\xef\xbc\x8f", "\xe2\x80\xae" "a", "v\xe2\x80\x8b", "\xd0\xb0", "\xf0\x9f\x92\xa9",
    "\xe2\x80\xa4\xe2\x80\xa4", "\xff", "\xc0\xaf", "\xc0\xae\xc0\xae/", "\xed\xa0\x80", "\x80",
    "a\xff" "b", "\xef\xbb\xbf" "v", "snapshot", "pvmove", "snapshot1", "pvmove0", "x_tmeta",
    "x_tdata", "x_pmspare", "lvol0_pmspare", "x_mlog", "x_cdata", "x_rimage_0",
    // clang-format on
};

std::vector<std::string> known_trouble() {
    std::vector<std::string> names(std::begin(trouble), std::end(trouble));
    for (const std::size_t n : {128UL, 129UL, 255UL, 256UL, 1024UL, 4096UL, 70000UL})
        names.emplace_back(n, 'n');
    names.push_back("vg0/" + std::string(128, 'v'));
    for (char c = 1; c < 32; ++c) names.push_back(std::string("a") + c + "b");
    return names;
}

std::vector<std::string> hostile_names(std::uint64_t seed) {
    const auto known = known_trouble();
    std::set<std::string> names(known.begin(), known.end());
    std::mt19937_64 random(seed);
    while (names.size() < names_wanted) {
        const std::string& one = known[random() % known.size()];
        const std::string& other = known[random() % known.size()];
        if (one.size() + other.size() > 200) continue;
        constexpr std::string_view between[] = {"", "/", "v", "-", ".."};
        names.insert(one + std::string(between[random() % 5]) + other);
    }
    return {names.begin(), names.end()};
}

// Words that are reserved for volumes may be groups.
bool may_be(const CommandSpec& command, Value value, const std::string& name) {
    switch (value) {
        case Value::name:
        case Value::name_pattern:
            return (command.name.starts_with("tvg") ? check_group_name : check_volume_name)(name)
                .has_value();
        case Value::tag: return parse_tag(name).has_value();
        default: return false;
    }
}

// What is right for a place that is not the one in question.
std::string right(Value value) {
    switch (value) {
        case Value::name:
        case Value::name_pattern: return "fresh";
        case Value::group: return "vg0";
        case Value::pool: return "vg0/pool0";
        case Value::thin:
        case Value::volume:
        case Value::group_or_volume: return "vg0/v";
        case Value::snapshot: return "vg0/s";
        case Value::tag: return "x";
        case Value::physical_volume: return "pv.img";
        case Value::any_device: return "other.img";
        case Value::file: return "nowhere";
        case Value::pool_action: return "status";
        default: return "1";
    }
}

bool takes_name(Value value) {
    switch (value) {
        case Value::name:
        case Value::name_pattern:
        case Value::group:
        case Value::pool:
        case Value::thin:
        case Value::volume:
        case Value::group_or_volume:
        case Value::snapshot:
        case Value::tag:
        case Value::physical_volume: return true;
        default: return false;
    }
}

// Options without which a command would not get as far as the name.
Words options_for(std::string_view command) {
    static const std::map<std::string_view, Words> needed{
        {"tvcreate", {"-V", "8m", "-T"}},
        {"tvextend", {"-L", "+8m"}},
        {"tvresize", {"-L", "+8m"}},
        {"tvreduce", {"-L", "-8m"}},
        {"tvchange", {"-p", "r"}},
        {"tvconvert", {"--merge"}},
        {"tvgchange", {"--addtag", "t"}},
        {"tvpvchange", {"--addtag", "t"}},
        {"tvgcfgbackup", {"-f", "backup.json"}},
        {"tvgcfgrestore", {"-f", "backup.json"}},
        {"tvrestore", {"-i", "nowhere"}},
    };
    const auto it = needed.find(command);
    return it == needed.end() ? Words() : it->second;
}

// A place in a command where a name goes: an operand, or an option.
struct Place {
    const CommandSpec* command;
    std::size_t operand;
    const OptionSpec* option = nullptr;
    Value value() const {
        return option != nullptr ? option->value : command->operands[operand].value;
    }
    std::string shown() const {
        return fmt::format("{} {}", command->name,
                           option != nullptr ? option->name : command->operands[operand].name);
    }
    Words line(const std::string& name) const {
        Words words = options_for(command->name);
        words.emplace_back("-y");
        if (option != nullptr) words.push_back(fmt::format("--{}={}", option->name, name));
        words.emplace_back("--");
        for (std::size_t i = 0; i < command->operands.size(); ++i) {
            const OperandSpec& o = command->operands[i];
            if (option == nullptr && i == operand) words.push_back(name);
            else if (o.required || (option == nullptr && i < operand))
                words.push_back(right(o.value));
        }
        return words;
    }
};

std::vector<Place> places() {
    std::vector<Place> found;
    for (const CommandSpec* command : all_commands()) {
        if (command->hidden) continue;
        for (std::size_t i = 0; i < command->operands.size(); ++i) {
            if (takes_name(command->operands[i].value)) found.push_back({command, i});
        }
        for (const OptionSpec& o : command->options) {
            if (takes_name(o.value)) found.push_back({command, 0, &o});
        }
    }
    return found;
}

class Home {
public:
    Home() : dir_(make()), environment_{dir_ / "s", dir_ / "r", dir_ / "c", {}, {}} {
        fs::create_directory(dir_ / "cwd");
        fs::current_path(dir_ / "cwd");
        for (const char* image : {"pv.img", "other.img"}) {
            std::ofstream(image).flush();
            fs::resize_file(image, 256 << 20);
        }
        must({"tvgcreate", "vg0", "pv.img"});
        must({"tvcreate", "-L", "64m", "-T", "vg0/pool0"});
        must({"tvcreate", "-V", "32m", "-T", "vg0/pool0", "-n", "v"});
        must({"tvsnapshot", "-n", "s", "vg0/v"});
    }
    ~Home() {
        fs::current_path("/");
        fs::remove_all(dir_);
    }

    struct Ended {
        int status;
        std::string out;
        std::string err;
    };
    // As main() does it.
    Ended run(const CommandSpec& spec, const Words& words) const {
        std::ostringstream out;
        std::ostringstream err;
        std::istringstream in;
        Invocation call(spec, environment_, out, err, in);
        const auto parsed = call.parse(words);
        const int status = parsed ? spec.run(call) : call.usage(parsed.error().text);
        return {status, out.str(), err.str()};
    }
    // All that there is, as reports and as files.
    std::string state() const {
        std::string text;
        for (const Words& words : {Words{"tvs", "-a", "-o", "lv_all"},
                                   Words{"tvgs", "-o", "vg_all"}, Words{"tvpvs", "-o", "pv_all"}})
            text += run(*find_command(words[0]), {words.begin() + 1, words.end()}).out;
        std::set<std::string> paths;
        for (const auto& entry : fs::recursive_directory_iterator(dir_)) paths.insert(entry.path());
        return text + fmt::format("{}", fmt::join(paths, "\n"));
    }

private:
    static fs::path make() {
        std::string name = fs::temp_directory_path() / "tv.XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) std::exit(1);
        return name;
    }
    void must(const Words& words) const {
        const Ended ended = run(*find_command(words[0]), {words.begin() + 1, words.end()});
        if (ended.status == exit_ok) return;
        fmt::print(stderr, "{}", ended.err);
        std::exit(1);
    }
    fs::path dir_;
    Environment environment_;
};

// What is wrong with how it ended; empty: nothing.
std::string wrong(const std::string& name, const Home::Ended& ended) {
    // Everything that carries a tag may be nothing.
    if (ended.status == exit_ok && name.starts_with('@') && ended.out.find("vg0") == name.npos)
        return {};
    if (ended.status != exit_usage && ended.status != exit_failed)
        return fmt::format("ends with {}", ended.status);
    if (!ended.out.empty()) return "writes to standard output: " + ended.out;
    if (ended.err.empty()) return "says nothing";
    return {};
}

struct Tally {
    std::uint64_t executed = 0;
    std::set<std::string> answers;
    std::uint64_t failures = 0;
    void fail(const std::string& text) {
        if (++failures <= 20) fmt::print(stderr, "{}\n", text);
    }
};

void try_name(const Home& home, const Place& place, const std::string& name, Tally& tally) {
    if (may_be(*place.command, place.value(), name)) return;
    const Home::Ended ended = home.run(*place.command, place.line(name));
    ++tally.executed;
    tally.answers.insert(ended.err.substr(0, 40));
    if (const std::string why = wrong(name, ended); !why.empty())
        tally.fail(fmt::format("{} \"{}\": {}", place.shown(), name, why));
}

int run(std::uint64_t seconds, std::uint64_t seed) {
    const Home home;
    const auto names = hostile_names(seed);
    const auto all = places();
    const auto began = std::chrono::steady_clock::now();
    std::string before = home.state();
    Tally tally;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (std::chrono::steady_clock::now() - began > std::chrono::seconds(seconds)) break;
        const std::string& name = names[i * 211 % names.size()];
        for (const Place& place : all) try_name(home, place, name, tally);
        const std::string after = home.state();
        if (std::exchange(before, after) != after)
            tally.fail(fmt::format("one of the commands with \"{}\" changed something", name));
    }
    fmt::print("{} {} {}\n", tally.executed, tally.answers.size(), tally.failures);
    return tally.failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace thinvol

int main(int argc, char** argv) {
    std::uint64_t seconds = 10;
    std::uint64_t seed = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view word = argv[i];
        if (word == "--budget") seconds = std::strtoull(argv[i + 1], nullptr, 10);
        if (word == "--seed") seed = std::strtoull(argv[i + 1], nullptr, 10);
    }
    return thinvol::run(seconds, seed);
}
