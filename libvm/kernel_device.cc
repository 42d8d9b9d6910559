#include "libvm/kernel_device.h"

#include <fmt/format.h>

#include <charconv>

#include "engine/base/assert.h"
#include "libvm/uuid.h"

namespace thinvol {
namespace {

constexpr unsigned thin_id_bits = 24;

// As much of the UUID as there is room for beside a thin id.
std::uint64_t part_of_uuid(std::string_view pool_uuid) {
    const auto bytes = uuid_bytes(pool_uuid);
    ASSERT(bytes.has_value());
    std::uint64_t part = 0;
    for (std::size_t i = 0; i < (64 - thin_id_bits) / 8; ++i)
        part = part << 8 | static_cast<std::uint64_t>((*bytes)[i]);
    return part;
}

}  // namespace

std::optional<std::uint32_t> device_number(std::string_view name, std::string_view prefix) {
    std::uint32_t number = 0;
    if (!name.starts_with(prefix) ||
        std::from_chars(name.data() + prefix.size(), name.data() + name.size(), number).ec !=
            std::errc())
        return std::nullopt;
    return number;
}

std::uint64_t ublk_owner(std::string_view pool_uuid, ThinId thin_id) {
    return part_of_uuid(pool_uuid) << thin_id_bits | thin_id.n();
}

bool is_of_pool(std::uint64_t owner, std::string_view pool_uuid) {
    return owner >> thin_id_bits == part_of_uuid(pool_uuid);
}

ThinId volume_of(std::uint64_t owner) {
    return ThinId::checked(owner & ((std::uint64_t{1} << thin_id_bits) - 1));
}

std::string nbd_owner(std::string_view pool_uuid, ThinId thin_id) {
    return fmt::format("thinvol {} {}", pool_uuid, thin_id.n());
}

bool is_of_pool(std::string_view owner, std::string_view pool_uuid) {
    return owner.starts_with(fmt::format("thinvol {} ", pool_uuid));
}

std::optional<ThinId> volume_of(std::string_view owner) {
    const auto number = device_number(owner, owner.substr(0, owner.rfind(' ') + 1));
    const auto id = ThinId::from(number.value_or(~0U));
    return id ? std::optional(*id) : std::nullopt;
}

}  // namespace thinvol
