// DevicePolicy: how an active volume is reached: by NBD clients, as a block device of this host, or
// both; as the settings say.
//
// Units       as noted
// Invariants  (1) one way at least; one kind of block device at most
// Errors      invalid_argument: a word that is no way, and those there are
// Threads     as the session's
// Source      none
#pragma once

#include <chrono>
#include <string_view>

#include "libvm/session.h"

namespace thinvol {

enum class DeviceKind {
    none,
    ublk,
    nbd  // the kernel's client, attached to our server
};
std::string_view name_of(DeviceKind kind);

// "nbd", "ublk", "nbd-kernel", "nbd,ublk", "auto" ...
struct ExportKinds {
    bool nbd = true;  // clients find it
    DeviceKind device = DeviceKind::none;
    bool automatic = false;  // ublk if this host has it, else NBD

    static Result<ExportKinds> parse(std::string_view text);
    ExportKinds settled(bool ublk_works) const;
};

struct DevicePolicy {
    ExportKinds kinds;
    bool user_copy = true;  // ublk: where the driver offers it
    // Of the kernel's NBD client.
    unsigned connections = 1;
    std::chrono::seconds dead_timeout{};
    std::chrono::seconds answer_timeout{};

    static Result<DevicePolicy> load(Session& session, const ThinRow& volume);
};

inline constexpr std::string_view export_setting = "activation.export";
// What the volume itself has of that setting; empty: nothing. Changed inside a Transaction.
Result<std::string> remembered_export(Catalog& catalog, const ThinRow& volume);
Result<> remember_export(Catalog& catalog, const ThinRow& volume, std::string_view how);

}  // namespace thinvol
