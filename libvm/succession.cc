#include "libvm/succession.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/base/unique_fd.h"

namespace thinvol {
namespace {

using Json = nlohmann::json;
constexpr unsigned format = 2;
constexpr std::string_view question_option = "--can-succeed=";
constexpr std::string_view replaced = " (deleted)";  // as the kernel names a file that is gone

Json to_json(const HandedClient& c) {
    return {{"socket", c.socket},
            {"lv", c.lv_id},
            {"may_write", c.may_write},
            {"attached", c.attached},
            {"replies", static_cast<int>(c.replies)},
            {"allocation", c.contexts.allocation},
            {"sharing", c.contexts.sharing},
            {"input", Json::binary(c.input)},
            {"output", Json::binary(c.output)}};
}

HandedClient client_from(const Json& j) {
    HandedClient c;
    c.socket = j.at("socket");
    c.lv_id = j.at("lv");
    c.may_write = j.at("may_write");
    c.attached = j.value("attached", false);  // format 1 knew no such clients
    c.replies = static_cast<NbdReplies>(j.at("replies").get<int>());
    c.contexts = {j.at("allocation"), j.at("sharing")};
    c.input = j.at("input").get_binary();
    c.output = j.at("output").get_binary();
    return c;
}

std::vector<std::uint8_t> packed(const Succession& s) {
    Json j{{"format", format},           {"request", s.request_id}, {"began", s.began},
           {"last_event", s.last_event}, {"lock", s.lock},          {"control", s.control},
           {"restore", s.restore},       {"exports", s.exports},    {"listeners", Json::array()},
           {"clients", Json::array()}};
    for (const HandedListener& l : s.listeners)
        j["listeners"].push_back({{"socket", l.socket}, {"own", l.own}});
    for (const HandedClient& c : s.clients) j["clients"].push_back(to_json(c));
    return Json::to_msgpack(j);
}

Succession unpacked(const std::vector<std::uint8_t>& bytes) {
    const Json j = Json::from_msgpack(bytes);
    if (j.at("format") > format) throw Json::other_error::create(501, "another format", &j);
    Succession s;
    s.request_id = j.at("request");
    s.began = j.at("began");
    s.last_event = j.at("last_event");
    s.lock = j.at("lock");
    s.control = j.at("control");
    s.restore = j.at("restore");
    s.exports = j.at("exports").get<std::vector<std::int64_t>>();
    for (const Json& l : j.at("listeners")) s.listeners.push_back({l.at("socket"), l.at("own")});
    for (const Json& c : j.at("clients")) s.clients.push_back(client_from(c));
    return s;
}

Error failed(std::string_view what) {
    return {Errc::io_error, fmt::format("{}: {}", what, std::strerror(errno))};
}

// All of them, or none.
template <class Each>
void for_descriptors(const Succession& s, Each&& each) {
    each(s.lock);
    each(s.control);
    for (const HandedListener& l : s.listeners) each(l.socket);
    for (const HandedClient& c : s.clients) each(c.socket);
}

}  // namespace

std::string own_program() {
    std::error_code error;
    std::string path = std::filesystem::read_symlink("/proc/self/exe", error);
    if (path.ends_with(replaced)) path.resize(path.size() - replaced.size());
    return path;
}

bool can_succeed(std::string_view argument) {
    if (!argument.starts_with(question_option)) return false;
    argument.remove_prefix(question_option.size());
    unsigned asked = 0;
    const auto [end, error] =
        std::from_chars(argument.data(), argument.data() + argument.size(), asked);
    return error == std::errc() && end == argument.data() + argument.size() && asked >= 1 &&
           asked <= format;
}

Result<> check_successor(const std::string& path) {
    std::string name = "thinvold";
    std::string question = fmt::format("{}{}", question_option, format);
    const std::array<char*, 3> arguments{name.data(), question.data(), nullptr};
    pid_t child = 0;
    if (const int number =
            ::posix_spawn(&child, path.c_str(), nullptr, nullptr, arguments.data(), environ);
        number != 0)
        return Error(Errc::io_error, fmt::format("{}: {}", path, std::strerror(number)));
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (status != 0)
        return Error(Errc::unsupported,
                     fmt::format("{} cannot take this server's place while it serves: deactivate "
                                 "the pool's volumes, and activate them again",
                                 path));
    return {};
}

Error succeed(const Succession& succession, const std::string& program,
              const std::string& pool_uuid) {
    const UniqueFd memory(::memfd_create("thinvold-succession", MFD_CLOEXEC));
    if (!memory) return failed("memfd_create");
    const auto bytes = packed(succession);
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t n = ::write(memory.get(), bytes.data() + done, bytes.size() - done);
        if (n < 0) return failed("writing what is handed over");
        done += static_cast<std::size_t>(n);
    }
    for_descriptors(succession, [](int fd) { ::fcntl(fd, F_SETFD, 0); });
    ::fcntl(memory.get(), F_SETFD, 0);
    std::string name = "thinvold";
    std::string option = fmt::format("--succeed={}", memory.get());
    std::string pool = pool_uuid;
    const std::array<char*, 4> arguments{name.data(), option.data(), pool.data(), nullptr};
    ::execv(program.c_str(), arguments.data());
    Error error = failed(program);
    for_descriptors(succession, [](int fd) { ::fcntl(fd, F_SETFD, FD_CLOEXEC); });
    return error;
}

Result<Succession> take_succession(int fd) {
    const UniqueFd memory(fd);
    struct stat about{};
    if (::fstat(fd, &about) != 0) return failed("what is handed over");
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(about.st_size));
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t n =
            ::pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
        if (n <= 0) return failed("what is handed over");
        done += static_cast<std::size_t>(n);
    }
    try {
        Succession succession = unpacked(bytes);
        for_descriptors(succession, [](int kept) { ::fcntl(kept, F_SETFD, FD_CLOEXEC); });
        return succession;
    } catch (const Json::exception& e) {
        return Error(Errc::corrupt, fmt::format("what is handed over: {}", e.what()));
    }
}

}  // namespace thinvol
