// The metadata device that ./run bench measures the tools on.
//
//     metadata_image FILE
//
// Goal    an image such as a host of virtual machines has: 36 volumes that share subtrees, 36
//         million mappings, about 105 MiB of metadata in use.
// Method  through the engine, with a fixed seed. Four origins are provisioned side by side, in runs
//         of 1 to 31 blocks, so that their data blocks interleave. Each has eight snapshots, and
//         between two of them blocks are rewritten in small runs all over the origin.
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "engine/thin_metadata.h"
#include "tests/support/memory_queue.h"

namespace thinvol {
namespace {

constexpr std::uint32_t origins = 4;
constexpr std::uint32_t snapshots = 8;  // of each
constexpr std::uint64_t blocks_of_origin = 1000000;
constexpr std::uint64_t rewrites = 275;  // runs, between two snapshots of an origin
constexpr Sectors metadata_size = to_sectors(Bytes(256ULL << 20));
constexpr DataBlocks data_size{8ULL << 20};  // 512 GiB
constexpr Sectors block_size{128};
constexpr std::uint64_t changes_of_commit = 20000;

template <class T>
T must(Result<T>&& r) {
    if (!r) {
        fmt::print(stderr, "metadata_image: {}\n", r.error().text);
        std::exit(1);
    }
    return take(std::move(r));
}

class Image {
public:
    Image() : device_(metadata_size) {
        md_ = must(ThinMetadata::format(device_, block_size, data_size, {}));
    }
    void make() {
        for (std::uint32_t o = 0; o < origins; ++o) must(md_->create_thin(ThinId::checked(o)));
        provision();
        for (std::uint32_t s = 0; s < snapshots; ++s) {
            for (std::uint32_t o = 0; o < origins; ++o) {
                must(md_->create_snapshot(ThinId::checked(origins + s * origins + o),
                                          ThinId::checked(o)));
                for (std::uint64_t n = 0; n < rewrites; ++n)
                    write(o, random_() % blocks_of_origin, random_() % 8 + 1);
            }
        }
        must(md_->set_transaction_id({0}, {1}));
        commit();
    }
    void save(const char* path) {
        std::ofstream out(path, std::ios::binary);
        out.write(reinterpret_cast<const char*>(device_.bytes().data()),
                  static_cast<std::streamsize>(device_.bytes().size()));
        if (!out.flush()) must(Result<>(Error(Errc::io_error, fmt::format("writing {}", path))));
        const MetadataBlocks used = md_->metadata().size() - md_->metadata().free();
        fmt::print("{} volumes of {} mappings, {} MiB of metadata in use\n",
                   origins * (1 + snapshots), blocks_of_origin,
                   used.n * metadata_block_bytes >> 20);
    }

private:
    void provision() {
        std::array<std::uint64_t, origins> at{};
        for (std::uint64_t left = origins * blocks_of_origin; left > 0;) {
            const auto o = static_cast<std::uint32_t>(random_() % origins);
            const std::uint64_t n = std::min(random_() % 31 + 1, blocks_of_origin - at[o]);
            write(o, at[o], n);
            at[o] += n;
            left -= n;
        }
    }
    void write(std::uint32_t origin, std::uint64_t from, std::uint64_t n) {
        ThinDevice& device = *must(md_->device(ThinId::checked(origin)));
        for (std::uint64_t i = from; i < std::min(from + n, blocks_of_origin); ++i) {
            must(md_->insert(device, VirtualBlock(i), must(md_->reserve())));
            if (++changes_ % changes_of_commit == 0) commit();
        }
    }
    void commit() {
        const SealedCommit sealed = must(md_->seal());
        for (Frame* frame : sealed.frames)
            must(write_now(device_, to_sector(frame->at), frame->block()));
        must(write_now(device_, Sector(0), sealed.superblock));
        for (const DataBlock b : md_->settle(sealed)) md_->hand_back(b);
        md_->trim();
    }

    MemoryQueue device_;
    std::unique_ptr<ThinMetadata> md_;
    std::mt19937_64 random_{1};
    std::uint64_t changes_ = 0;
};

}  // namespace
}  // namespace thinvol

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "metadata_image FILE\n");
        return 3;
    }
    thinvol::Image image;
    image.make();
    image.save(argv[1]);
    return 0;
}
