#include "libvm/uuid.h"

#include <sys/random.h>

#include "engine/base/assert.h"

namespace thinvol {
namespace {

constexpr std::string_view digits = "0123456789abcdef";

}  // namespace

std::string uuid_text(const UuidBytes& bytes) {
    std::string text;
    for (std::byte b : bytes) {
        text += digits[std::to_integer<unsigned>(b) >> 4];
        text += digits[std::to_integer<unsigned>(b) & 15];
    }
    return text;
}

std::string new_uuid() {
    UuidBytes bytes;
    ASSERT(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    return uuid_text(bytes);
}

std::optional<UuidBytes> uuid_bytes(std::string_view text) {
    UuidBytes bytes{};
    if (text.size() != 2 * bytes.size()) return std::nullopt;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const std::size_t digit = digits.find(text[i]);
        if (digit == std::string_view::npos) return std::nullopt;
        bytes[i / 2] = bytes[i / 2] << 4 | static_cast<std::byte>(digit);
    }
    return bytes;
}

std::string grouped_uuid(std::string_view text) {
    std::string grouped;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (i == 6 || (i > 6 && i < 30 && (i - 6) % 4 == 0)) grouped += '-';
        grouped += text[i];
    }
    return grouped;
}

}  // namespace thinvol
