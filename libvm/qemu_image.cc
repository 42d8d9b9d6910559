#include "libvm/qemu_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "engine/base/le.h"
#include "libvm/nbd_protocol.h"
#include "libvm/program.h"

namespace thinvol {
namespace {

struct Signature {
    std::size_t at;
    std::string_view bytes;
    std::string_view format;
};
constexpr Signature signatures[] = {
    {0, "QFI\xfb", "qcow2"}, {0, "vhdxfile", "vhdx"}, {0x40, "\x7f\x10\xda\xbe", "vdi"},
    {0, "conectix", "vpc"},  {0, "KDMV", "vmdk"},     {0, "# Disk DescriptorFile", "vmdk"},
};

// Of a qcow2 header.
constexpr std::size_t backing_at = 8;
constexpr std::size_t incompatible_at = 72;
constexpr std::uint64_t external_data_file = 4;

Error system_error(std::string_view what) {
    return {errno == ENOENT ? Errc::not_found : Errc::io_error,
            fmt::format("{}: {}", what, std::strerror(errno))};
}

Result<std::string> find_tool(const std::string& name) {
    auto found = find_program(name);
    if (found) return found;
    return Error(Errc::not_found,
                 fmt::format("{}, and only raw can be had without it: Debian's package is "
                             "qemu-utils",
                             found.error().text));
}

// Absolute, so that QEMU takes it for a file whatever it is called.
std::string absolute(const std::string& path) { return std::filesystem::absolute(path).string(); }

Result<std::vector<std::byte>> first_bytes(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!fd) return system_error(path);
    std::vector<std::byte> bytes(4096);
    const ssize_t n = ::pread(fd.get(), bytes.data(), bytes.size(), 0);
    if (n < 0) return system_error(path);
    bytes.resize(static_cast<std::size_t>(n));
    return bytes;
}

Result<> check_names_none(const std::string& path, const std::string& format,
                          std::span<const std::byte> header) {
    const auto refused = [&](std::string_view what) {
        return Error(Errc::invalid_argument,
                     fmt::format("{} {}, and whoever made it chose which: --allow-backing if you "
                                 "trust it",
                                 path, what));
    };
    if (format == "vmdk") return refused("is a vmdk image, which can name other files");
    if (format != "qcow2") return {};
    if (header.size() < incompatible_at + 8)
        return Error(Errc::invalid_argument,
                     fmt::format("{} is too short for a qcow2 image", path));
    if (nbd::load_be<std::uint64_t>(&header[backing_at]) != 0) return refused("has a backing file");
    const bool features = nbd::load_be<std::uint32_t>(&header[4]) >= 3;
    if (features &&
        (nbd::load_be<std::uint64_t>(&header[incompatible_at]) & external_data_file) != 0)
        return refused("has its data in another file");
    return {};
}

// A socket that listens, and a connection to it: the first, so nobody else's is taken.
Result<std::pair<UniqueFd, UniqueFd>> connected_listener() {
    UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!listener || !client) return system_error("socket");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // Without a name the kernel gives one that is in no file system.
    socklen_t length = sizeof address.sun_family;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener.get(), any, length) != 0 || ::listen(listener.get(), 1) != 0)
        return system_error("socket");
    length = sizeof address;
    if (::getsockname(listener.get(), any, &length) != 0 ||
        ::connect(client.get(), any, length) != 0)
        return system_error("socket");
    return std::pair(std::move(listener), std::move(client));
}

// In the child, between fork and exec: only calls that are safe there.
[[noreturn]] void become(char* const* words, char* const* environment, char* pid_text,
                         std::size_t pid_room, int listener) {
    ::setpgid(0, 0);  // an interruption is ours to handle
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    std::to_chars(pid_text, pid_text + pid_room, ::getpid());
    if (listener == 3) ::fcntl(3, F_SETFD, 0);
    else ::dup2(listener, 3);
    ::close_range(4, ~0U, 0);
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 0);
    ::dup2(null, 1);
    ::execve(words[0], words, environment);
    ::_exit(127);
}

// QEMU reads what a file lacks that was cut off as zeroes.
Result<> check_whole(const std::string& path, const std::string& format) {
    constexpr int leaks_only = 3;
    constexpr int has_no_check = 63;
    const ProgramEnd end =
        TRY(run_program({{TRY(find_tool("qemu-img")), "check", "-f", format, absolute(path)}}));
    if (end.status == 0 || end.status == leaks_only || end.status == has_no_check) return {};
    if (end.status == 2)
        return Error(Errc::corrupt,
                     fmt::format("{} is damaged or cut off: qemu-img check says where, with -r all "
                                 "it mends what can be mended",
                                 path));
    return Error(Errc::io_error, fmt::format("{} cannot be checked: {}", path, end.output));
}

}  // namespace

std::string_view image_format_of(std::span<const std::byte> first) {
    const std::string_view text(reinterpret_cast<const char*>(first.data()), first.size());
    for (const Signature& s : signatures) {
        if (text.size() >= s.at && text.substr(s.at).starts_with(s.bytes)) return s.format;
    }
    return {};
}

Result<std::unique_ptr<QemuImage>> QemuImage::open(const std::string& path,
                                                   const std::string& format, bool names_others) {
    const auto header = TRY(first_bytes(path));
    if (const auto found = image_format_of(header); found != format)
        return Error(Errc::invalid_argument,
                     fmt::format("{} is no {} image{}", path, format,
                                 found.empty() ? "" : fmt::format(", but of format {}", found)));
    if (!names_others) TRY(check_names_none(path, format, header));
    TRY(find_tool("qemu-nbd"));
    TRY(check_whole(path, format));
    std::unique_ptr<QemuImage> image(new QemuImage());
    TRY(image->start(path, format, true));
    return image;
}

Result<std::unique_ptr<QemuImage>> QemuImage::create(const std::string& path,
                                                     const std::string& format, Bytes size) {
    TRY(find_tool("qemu-nbd"));
    TRY(run_to_success({{TRY(find_tool("qemu-img")), "create", "-q", "-f", format, absolute(path),
                         fmt::format("{}", size)}}));
    std::unique_ptr<QemuImage> image(new QemuImage());
    TRY(image->start(path, format, false));
    return image;
}

Result<> QemuImage::start(const std::string& path, const std::string& format, bool read_only) {
    tool_ = TRY(find_tool("qemu-nbd"));
    auto [listener, client] = TRY(connected_listener());
    std::vector<std::string> words{tool_, "--format=" + format, "--discard=unmap"};
    if (read_only) words.emplace_back("--read-only");
    words.push_back(absolute(path));
    std::vector<char*> word_pointers;
    for (std::string& word : words) word_pointers.push_back(word.data());
    word_pointers.push_back(nullptr);
    // Socket activation, as systemd does it.
    std::array<char, 32> pid{"LISTEN_PID="};
    std::string sockets = "LISTEN_FDS=1";
    std::vector<char*> environment{pid.data(), sockets.data()};
    for (char** v = ::environ; *v != nullptr; ++v) environment.push_back(*v);
    environment.push_back(nullptr);
    const std::size_t name = std::strlen(pid.data());
    child_ = ::fork();
    if (child_ < 0) return system_error("fork");
    if (child_ == 0)
        become(word_pointers.data(), environment.data(), pid.data() + name, pid.size() - name - 1,
               listener.get());
    listener.reset();
    auto negotiated = NbdClient::negotiate(std::move(client));
    if (!negotiated)
        return Error(Errc::io_error,
                     fmt::format("qemu-nbd does not open {} as {} (see above)", path, format));
    nbd_ = std::move(*negotiated);
    return {};
}

Result<> QemuImage::close() {
    nbd_->disconnect();
    int status = 0;
    while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {}
    child_ = -1;
    if (status == 0) return {};
    return Error(Errc::io_error, fmt::format("{} failed (see above)", tool_));
}

QemuImage::~QemuImage() {
    if (child_ < 0) return;
    nbd_.reset();
    ::kill(child_, SIGTERM);
    while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {}
}

}  // namespace thinvol
