// netlink: generic netlink, as much of it as setting up a device of the kernel's takes.
//
// Units       bytes
// Invariants  (1) an attribute begins at a multiple of 4
//             (2) what the kernel sends is read within its length
// Errors      unsupported: the kernel has no such family; else the kernel's errno
// Threads     one
// Source      netlink(7), Linux include/uapi/linux/genetlink.h
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace thinvol {

class NetlinkMessage {
public:
    NetlinkMessage(std::uint16_t family, std::uint8_t command, std::uint8_t version);

    void add(std::uint16_t attribute, std::uint32_t value);
    void add(std::uint16_t attribute, std::uint64_t value);
    void add(std::uint16_t attribute, std::string_view text);  // with a zero behind it
    // Attributes added between the two are inside this one.
    std::size_t begin(std::uint16_t attribute);
    void end(std::size_t begun);
    // As it is sent.
    std::span<const std::byte> finish(std::uint32_t sequence);

private:
    void append(const void* bytes, std::size_t n);
    void header(std::uint16_t attribute, std::size_t length);
    std::vector<std::byte> bytes_;
};

using NetlinkAttributes = std::map<std::uint16_t, std::span<const std::byte>>;
// Of the outermost level; what does not fit is left out.
NetlinkAttributes netlink_attributes(std::span<const std::byte> bytes);

class GenericNetlink {
public:
    // `missing`: what the user can do if the kernel lacks the family.
    static Result<GenericNetlink> open(std::string_view family, std::string_view missing);

    std::uint16_t family() const { return family_; }
    // Waits until the kernel has done it; what it answers besides.
    Result<std::vector<std::byte>> ask(NetlinkMessage message, std::string_view what);

private:
    GenericNetlink() = default;
    // 0 or an errno.
    Result<int> exchange(NetlinkMessage message, std::vector<std::byte>& answer);
    UniqueFd socket_;
    std::uint16_t family_ = 0;
    std::uint32_t sequence_ = 0;
};

}  // namespace thinvol
