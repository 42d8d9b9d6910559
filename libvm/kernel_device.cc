#include "libvm/kernel_device.h"

#include <fmt/format.h>

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

std::uint64_t ublk_owner(std::string_view pool_uuid, ThinId thin_id) {
    return part_of_uuid(pool_uuid) << thin_id_bits | thin_id.n();
}

bool is_of_pool(std::uint64_t owner, std::string_view pool_uuid) {
    return owner >> thin_id_bits == part_of_uuid(pool_uuid);
}

std::string nbd_owner(std::string_view pool_uuid, ThinId thin_id) {
    return fmt::format("thinvol {} {}", pool_uuid, thin_id.n());
}

bool is_of_pool(std::string_view owner, std::string_view pool_uuid) {
    return owner.starts_with(fmt::format("thinvol {} ", pool_uuid));
}

}  // namespace thinvol
