// Goal: S42: what comes from somebody else's file or process, byte after byte, is taken as far as
// it
//       is right: metadata packs, images' first blocks, and what an NBD server says to our client.
// Method: the input is the stream, by its first byte of one of the kinds.
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libvm/metadata_pack.h"
#include "libvm/nbd_client.h"
#include "libvm/nbd_protocol.h"
#include "libvm/qemu_image.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/support/sparse_queue.h"

namespace thinvol {
namespace {

// A file in memory, and where to open it.
struct MemoryFile {
    explicit MemoryFile(std::string_view text) : fd(::memfd_create("fuzz", MFD_CLOEXEC)) {
        demand(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()),
               "no memory file");
        ::lseek(fd.get(), 0, SEEK_SET);
    }
    std::string path() const { return "/proc/self/fd/" + std::to_string(fd.get()); }
    UniqueFd fd;
};

void unpack(std::string_view text) {
    const MemoryFile file(text);
    // Sparse: a few bytes may say that the device is one of gigabytes.
    const auto make = [](MetadataBlocks blocks) -> Result<std::unique_ptr<BlockQueue>> {
        return std::make_unique<SparseQueue>(to_sectors(Bytes(blocks.n * metadata_block_bytes)));
    };
    const auto unpacked = unpack_metadata(file.path(), make);
    demand(!unpacked || *unpacked <= text.size() * 1100 / metadata_block_bytes + 1,
           "more blocks than a pack of that size can hold");
}

// Everything that the server will ever say lies in the socket when the client begins.
void be_served(std::string_view text) {
    int ends[2] = {-1, -1};
    demand(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "no socket pair");
    UniqueFd ours(ends[0]);
    const UniqueFd theirs(ends[1]);
    if (::send(theirs.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return;
    ::shutdown(theirs.get(), SHUT_WR);
    auto client = NbdClient::negotiate(std::move(ours));
    if (!client) return;
    std::array<std::byte, 3000> bytes{};
    const std::array pieces{NbdIo{ByteOffset(0), std::span(bytes).first(1000)},
                            NbdIo{ByteOffset(4096), std::span(bytes).subspan(1000)}};
    if (client->extent(ByteOffset(0), Bytes(1 << 20))) {
        if (!client->read(pieces)) return;
        if (!client->write(pieces)) return;
        ignore(client->flush(), "the server lies");
    }
    client->disconnect();
}

// The same in the protocol's form, where the input only chooses.
std::string spoken(FuzzInput& input) {
    std::vector<std::byte> said;
    const auto put = [&](auto number) {
        const std::size_t at = said.size();
        said.resize(at + sizeof number);
        nbd::store_be(said.data() + at, number);
    };
    put(nbd::magic_greeting);
    put(nbd::magic_option);
    put(std::uint16_t{3});
    while (!input.empty() && said.size() < 60'000) {
        const std::uint8_t kind = input.byte();
        const std::size_t length = input.byte();
        if (kind < 128) {
            put(nbd::magic_option_reply);
            put(std::uint32_t{kind} % 12);
            constexpr std::uint32_t types[] = {1, 2, 3, 4, 0x80000001, 0x80000003, 7};
            put(types[input.byte() % 7]);
        } else if (kind < 240) {
            put(nbd::magic_structured_reply);
            put(static_cast<std::uint16_t>(kind % 2));
            constexpr std::uint16_t types[] = {0, 1, 2, 5, 0x8001, 0x8002, 6, 9};
            put(types[input.byte() % 8]);
            put(std::uint64_t{input.byte()} % 4);
        }
        const auto data = input.bytes(length);
        if (kind < 240) put(static_cast<std::uint32_t>(kind % 16 == 15 ? length : data.size()));
        said.insert(said.end(), data.begin(), data.end());
    }
    return {reinterpret_cast<const char*>(said.data()), said.size()};
}

}  // namespace
}  // namespace thinvol

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t n) {
    using namespace thinvol;
    FuzzInput input(data, n);
    switch (input.byte() % 4) {
        case 0: unpack(input.rest()); break;
        case 1: be_served(input.rest()); break;
        case 2: be_served(spoken(input)); break;
        default: demand(image_format_of(input.bytes(4096)).size() < 9, "no format of that name");
    }
    return 0;
}
