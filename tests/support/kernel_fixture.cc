#include "tests/support/kernel_fixture.h"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "engine/superblock.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

constexpr std::uint64_t page_bytes = 4096;

std::string unpacked(const std::string& name) {
    const std::string path = THINVOL_TEST_SUPPORT "/../fixtures/" + name;
    const Verdict v = run_judge("xz -dc " + path);
    if (v.status != 0) FAIL(path << ": " << v.output);
    return v.output;
}

std::unique_ptr<MemoryQueue> device_with(const std::string& content) {
    auto device = std::make_unique<MemoryQueue>(to_sectors(Bytes(content.size())));
    std::memcpy(device->bytes().data(), content.data(), content.size());
    return device;
}

void parse(const std::string& text, KernelFixture& fixture) {
    std::istringstream lines(text);
    KernelVolume* volume = nullptr;
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        if (line.starts_with("pool ")) {
            fixture.status = line.substr(5);
        } else if (line.starts_with("volume ")) {
            std::string word;
            std::uint32_t id = 0;
            KernelVolume v;
            words >> word >> id >> v.size.n >> v.mapped_sectors >> v.highest_sector;
            v.pages.resize(to_bytes(v.size).n / page_bytes);
            volume = &fixture.volumes.emplace(id, std::move(v)).first->second;
        } else {
            std::uint64_t first = 0;
            std::uint64_t count = 0;
            unsigned byte = 0;
            words >> first >> count >> byte;
            REQUIRE(volume != nullptr);
            REQUIRE(first + count <= volume->pages.size());
            std::fill_n(volume->pages.begin() + static_cast<std::ptrdiff_t>(first), count,
                        std::byte(byte));
        }
        REQUIRE_FALSE(words.bad());
    }
}

}  // namespace

KernelFixture kernel_fixture(const std::string& name) {
    KernelFixture fixture;
    fixture.metadata = device_with(unpacked(name + ".metadata.xz"));
    if (std::filesystem::exists(THINVOL_TEST_SUPPORT "/../fixtures/" + name + ".expect")) {
        fixture.data = device_with(unpacked(name + ".data.xz"));
        const Verdict v = run_judge("cat " THINVOL_TEST_SUPPORT "/../fixtures/" + name + ".expect");
        parse(v.output, fixture);
        return fixture;
    }
    const Superblock sb = must(Superblock::decode(
        ConstBlockBytes(fixture.metadata->bytes().data(), metadata_block_bytes)));
    fixture.data = std::make_unique<MemoryQueue>(sb.data_block_size * sb.data_space_map.blocks);
    return fixture;
}

}  // namespace thinvol
