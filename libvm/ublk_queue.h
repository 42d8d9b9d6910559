// UblkQueue: requests to a ublk device, from the driver to the pool and back; a device has several.
//
// The kernel wants all that concerns a queue from one thread, the pool's own or one with a lane:
// this object is made, run and ended there. A request comes as the completion of its tag's command,
// and its answer goes with the command that waits for the tag's next one.
//
//   fetching --request--> serving --answer--> fetching
//       '---- the device was stopped ---> ended
//
// Units       bytes; tags from 0 to the depth
// Invariants  (1) a tag is with the driver or with the pool, never both
//             (2) a tag that was answered by the driver's end is not fetched again
// Errors      of open(): what the kernel refused. A request's go to who asked
// Threads     that of its NbdClients
// Source      Linux Documentation/block/ublk.rst
#pragma once

#include <memory>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/pool.h"
#include "engine/ring.h"
#include "libvm/nbd_clients.h"
#include "libvm/ublk_abi.h"

namespace thinvol {

// What a volume looks like as a disk.
struct DiskGeometry {
    Bytes size{};
    Bytes data_block{};
    Bytes io_max{};
    bool read_only = false;
};
ublk::Parameters ublk_parameters(const DiskGeometry& disk);
// What the driver asks for, as the engine is asked. False: something unknown.
bool translate(const ublk::IoDescriptor& descriptor, IoRequest& request);

class UblkQueue : public DeviceQueue {
public:
    struct Options {
        std::uint16_t depth = 0;
        Bytes io_max{};
        bool user_copy = false;  // data are read from and written to the character device
        bool legacy = false;
        // Who made the device is not root: the kernel kills a server that leaves one of its
        // requests for 30 s.
        bool waits_for_space = true;
    };
    // `device` is the character device, which outlives it.
    static Result<std::unique_ptr<UblkQueue>> open(NbdClients& thread, NbdExport& exported,
                                                   int device, std::uint16_t number,
                                                   const Options& options);
    ~UblkQueue() override;
    UblkQueue(const UblkQueue&) = delete;
    UblkQueue& operator=(const UblkQueue&) = delete;

    bool run_once(bool paused) override;
    bool quiet() const override { return serving_ == 0; }
    // The device was stopped, and nothing is with the driver or the pool.
    bool ended() const { return fetching_ == 0 && serving_ == 0; }

private:
    struct Slot : RingOperation {
        UblkQueue* queue = nullptr;
        std::uint16_t tag = 0;
        IoRequest io;
        AlignedBuffer own;       // without user copy
        PayloadBuffer borrowed;  // with it, while a request needs it
    };
    UblkQueue(NbdClients& thread, NbdExport& exported, int device, std::uint16_t number,
              const Options& options);
    Result<> map();
    Result<> fetch();
    void send(Slot& slot, ublk::Io command, std::int32_t result);
    void received(Slot& slot, int result);
    void begin(Slot& slot);
    void answer(Slot& slot);

    NbdClients& thread_;
    NbdExport& exported_;
    int device_;
    std::uint16_t number_;
    Options options_;
    std::unique_ptr<Ring> ring_;
    const ublk::IoDescriptor* descriptors_ = nullptr;
    std::size_t mapped_ = 0;
    std::vector<std::unique_ptr<Slot>> slots_;
    std::size_t fetching_ = 0;
    std::size_t serving_ = 0;
    bool progress_ = false;
};

}  // namespace thinvol
