#include "tests/support/vectors.h"

#include <cstdlib>
#include <string>

namespace thinvol {

std::vector<std::byte> vector_image(std::span<const VectorRow> rows) {
    std::vector<std::byte> image(512 * 4096);
    for (const VectorRow& row : rows) {
        std::size_t at = row.block * 4096UL + row.offset;
        const std::string hex(row.hex);
        for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
            if (hex[i] == ' ') ++i;
            image[at++] = static_cast<std::byte>(std::stoul(hex.substr(i, 2), nullptr, 16));
        }
    }
    return image;
}

}  // namespace thinvol
