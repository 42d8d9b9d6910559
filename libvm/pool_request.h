// pool_request: what the owner of a pool can be asked, in this process or over its control socket.
//
// Units       bytes of volumes, extents of the group
// Invariants  (1) a request has a UUID; asked again with the same one, the owner answers as the
//                 first time
//             (2) objects are named by their catalog ids: a rename in between disturbs nothing
// Errors      invalid_argument for text that is no request
// Threads     any; values
// Source      none
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "engine/base/result.h"
#include "engine/pool.h"
#include "libvm/event_log.h"
#include "libvm/volume_io.h"

namespace thinvol {

struct MakeVolumesRequest {
    struct One {
        std::string name;  // empty: automatic
        Bytes size{};      // of a snapshot: its origin's, whatever is said here
        std::int64_t origin_id = 0;
        bool read_only = false;
        bool skip_activation = false;
        std::vector<std::string> tags{};
        std::string external_origin{};
    };
    std::vector<One> volumes;
};
struct RemoveVolumesRequest {
    std::vector<std::int64_t> lv_ids;
    bool deactivate = false;  // those that are active, but never one that a client has open
};
struct ResizeVolumeRequest {
    std::int64_t lv_id = 0;
    Bytes size{};
};
struct ExtendPoolRequest {
    Extents data{};
    Extents metadata{};
    std::vector<std::int64_t> pv_ids;
    // The sizes that these come on top of. Errc::exists if they are others by then; 0: never mind.
    Extents data_before{};
    Extents metadata_before{};
};
// A snapshot replaces its origin: now if neither is open, else when neither is active any more.
struct MergeRequest {
    std::int64_t lv_id = 0;
    bool keep = false;  // the state before
};
struct ActivateRequest {
    std::vector<std::int64_t> lv_ids;
    std::string how{};  // empty: as activation.export is set
    bool keep = true;   // how, as activation.export of these volumes
};
struct DeactivateRequest {
    std::vector<std::int64_t> lv_ids;
};
// The next piece of a job of tvpvmove: what is left of it says whether there was one.
struct MovePieceRequest {
    std::int64_t job_id = 0;
};
struct StatusRequest {};
// Names of volumes, or settings of the pool, changed in the catalog.
struct RefreshRequest {};
// The program in its file takes the server's place; clients notice a pause.
struct RestartRequest {};
// Events numbered above `after`; if there are none, the first one within `wait_ms`.
struct WaitEventsRequest {
    std::uint64_t after = 0;
    std::uint64_t wait_ms = 0;
};
// The durable transaction stays as it is while this connection lives; answered with its superblock
// and size.
struct PinRequest {};
// Metadata blocks of the pinned transaction.
struct ReadMetadataRequest {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
};

// An inactive volume's bytes are read, or written, by this connection while it lives.
struct OpenVolumeRequest {
    std::int64_t lv_id = 0;
    bool writing = false;
};
// To the volume that this connection has open. What is written follows the request; what is read,
// or pairs of a length and an engine's Backing, follow the answer.
struct VolumeIoRequest {
    IoKind kind = IoKind::read;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};
inline constexpr std::uint64_t volume_io_max = 8 << 20;

struct PoolRequest {
    std::string id;
    std::variant<MakeVolumesRequest, RemoveVolumesRequest, ResizeVolumeRequest, ExtendPoolRequest,
                 MergeRequest, ActivateRequest, DeactivateRequest, StatusRequest, RefreshRequest,
                 WaitEventsRequest, PinRequest, ReadMetadataRequest, MovePieceRequest,
                 OpenVolumeRequest, VolumeIoRequest, RestartRequest>
        what;
};

struct ActiveVolume {
    std::int64_t lv_id = 0;
    std::uint32_t clients = 0;
    std::uint64_t mapped_blocks = 0;
    std::string uri;
    VolumeIo io{};
    IoRates rates{};
    std::string device{};  // its node; empty: none
};

struct PoolAnswer {
    std::vector<std::string> warnings;  // of StatusRequest: why the server stays with none active
    // Of volumes made, in the order asked. Of a merge: of the origin and of what was kept; nothing
    // yet while either is in use. Of (de)activation: of origins that were merged into.
    std::vector<std::string> names;
    // Of StatusRequest; how full the pool is, also of requests that let it fill or grow.
    std::string mode;
    std::string trouble;
    bool needs_check = false;
    std::uint64_t transaction_id = 0;
    std::uint64_t data_blocks = 0, data_used = 0, metadata_blocks = 0, metadata_used = 0;
    std::uint64_t flushes = 0, commits = 0;
    std::int64_t pid = 0;
    std::string privileges;  // of that process
    bool writes_wait_for_space = false;
    std::vector<ActiveVolume> active;
    std::uint64_t pause_ms = 0;  // of RestartRequest: how long clients had to wait
    // Of WaitEventsRequest.
    std::vector<LoggedEvent> events;
    // Of PinRequest, ReadMetadataRequest and VolumeIoRequest: bytes that follow the answer.
    std::uint64_t bytes_following = 0;
};

std::string to_json(const LoggedEvent& event);
std::string to_json(const PoolRequest& request);
Result<PoolRequest> request_from_json(std::string_view text);
std::string to_json(const Result<PoolAnswer>& answer);
Result<PoolAnswer> answer_from_json(std::string_view text);

}  // namespace thinvol
