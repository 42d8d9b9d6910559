#include "libvm/privileges.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace thinvol {
namespace {

constexpr std::string_view names[] = {"chown",
                                      "dac_override",
                                      "dac_read_search",
                                      "fowner",
                                      "fsetid",
                                      "kill",
                                      "setgid",
                                      "setuid",
                                      "setpcap",
                                      "linux_immutable",
                                      "net_bind_service",
                                      "net_broadcast",
                                      "net_admin",
                                      "net_raw",
                                      "ipc_lock",
                                      "ipc_owner",
                                      "sys_module",
                                      "sys_rawio",
                                      "sys_chroot",
                                      "sys_ptrace",
                                      "sys_pacct",
                                      "sys_admin",
                                      "sys_boot",
                                      "sys_nice",
                                      "sys_resource",
                                      "sys_time",
                                      "sys_tty_config",
                                      "mknod",
                                      "lease",
                                      "audit_write",
                                      "audit_control",
                                      "setfcap",
                                      "mac_override",
                                      "mac_admin",
                                      "syslog",
                                      "wake_alarm",
                                      "block_suspend",
                                      "audit_read",
                                      "perfmon",
                                      "bpf",
                                      "checkpoint_restore"};

using Mask = std::uint64_t;
constexpr Mask mask_of(int capability) { return Mask{1} << capability; }

struct Shown {
    Mask effective = 0;
    Mask permitted = 0;
    Mask inheritable = 0;
    bool no_new = false;
};

// Of the first thread, with which all begin.
Shown shown_by_kernel() {
    Shown shown;
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        const std::string_view key = std::string_view(line).substr(0, line.find(':'));
        const char* value = line.c_str() + std::min(line.size(), key.size() + 1);
        if (key == "CapEff") shown.effective = std::strtoull(value, nullptr, 16);
        if (key == "CapPrm") shown.permitted = std::strtoull(value, nullptr, 16);
        if (key == "CapInh") shown.inheritable = std::strtoull(value, nullptr, 16);
        if (key == "NoNewPrivs") shown.no_new = std::strtoull(value, nullptr, 10) == 1;
    }
    return shown;
}

bool has_block_devices() {
    std::error_code none;
    return std::filesystem::exists("/dev/ublk-control", none) ||
           std::filesystem::exists("/sys/module/nbd", none);
}

Mask needed() {
    const Mask always = mask_of(CAP_DAC_OVERRIDE) | mask_of(CAP_IPC_LOCK);
    const Mask devices =
        mask_of(CAP_SYS_ADMIN) | mask_of(CAP_SYS_RESOURCE) | mask_of(CAP_SYS_PTRACE);
    return always | (has_block_devices() ? devices : 0);
}

Error failed(std::string_view what) {
    return {Errc::io_error,
            fmt::format("giving up privileges: {}: {}", what, std::strerror(errno))};
}

}  // namespace

Result<> give_up_privileges() {
    const Shown before = shown_by_kernel();
    const Mask keep = needed();
    const Shown wanted{before.effective & keep, before.permitted & keep, before.inheritable & keep,
                       true};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("no_new_privs");
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
    for (std::size_t i = 0; i < sets.size(); ++i) {
        const auto word = [i](Mask mask) { return static_cast<std::uint32_t>(mask >> (32 * i)); };
        sets[i] = {word(wanted.effective), word(wanted.permitted), word(wanted.inheritable)};
    }
    if (::syscall(SYS_capset, &header, sets.data()) != 0) return failed("capset");
    const Shown now = shown_by_kernel();
    if (now.effective == wanted.effective && now.permitted == wanted.permitted &&
        now.inheritable == wanted.inheritable && now.no_new)
        return {};
    return Error(Errc::io_error, fmt::format("giving up privileges: the kernel shows {}, and {:x} "
                                             "was to be kept",
                                             privileges_in_words(), wanted.permitted));
}

Result<> keep_memory_secret() {
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0) return {};
    return Error(Errc::io_error, fmt::format("PR_SET_DUMPABLE: {}", std::strerror(errno)));
}

std::string privileges_in_words() {
    const Shown now = shown_by_kernel();
    std::string kept;
    for (std::size_t i = 0; i < 64; ++i) {
        if ((now.permitted >> i & 1) == 0) continue;
        if (!kept.empty()) kept += ',';
        kept += i < std::size(names) ? std::string(names[i]) : std::to_string(i);
    }
    return fmt::format("uid={} capabilities={} no_new_privs={} core_dumps={}", ::geteuid(),
                       kept.empty() ? "none" : kept, now.no_new ? "yes" : "no",
                       ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 ? "yes" : "no");
}

Result<> check_right_to_devices() {
    if (::geteuid() != 0 || (shown_by_kernel().effective & mask_of(CAP_SYS_ADMIN)) != 0) return {};
    return Error(
        Errc::unsupported,
        "block devices need CAP_SYS_ADMIN, which this process has not; a server that began "
        "before the kernel had their driver gave it up: deactivate the pool's volumes, and "
        "activate them again");
}

}  // namespace thinvol
