#include "engine/base/units.h"

#include <fmt/format.h>

namespace thinvol {

Result<ThinId> ThinId::from(std::uint64_t v) {
    if (v > max) return Error(Errc::invalid_argument, fmt::format("thin id {} is over {}", v, max));
    return ThinId(static_cast<std::uint32_t>(v));
}

Result<SnapTime> SnapTime::from(std::uint64_t v) {
    if (v > max)
        return Error(Errc::invalid_argument, fmt::format("snapshot time {} is over {}", v, max));
    return SnapTime(static_cast<std::uint32_t>(v));
}

}  // namespace thinvol
