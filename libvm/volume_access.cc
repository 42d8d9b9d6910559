#include "libvm/volume_access.h"

#include <algorithm>

#include "engine/base/le.h"
#include "libvm/external_origin.h"
#include "libvm/tags.h"
#include "libvm/volumes.h"

namespace thinvol {
namespace {

constexpr unsigned ring_entries = 256;
constexpr std::size_t extents_at_once = 4096;
// Until a server has seen that its client is gone.
constexpr auto patience = std::chrono::seconds(5);
constexpr auto pause = std::chrono::milliseconds(20);

Result<> first_error(std::span<IoRequest> requests) {
    for (const IoRequest& request : requests) TRY(Result<>(request.outcome));
    return {};
}

class LocalVolume : public VolumeAccess {
public:
    LocalVolume(std::unique_ptr<Ring> ring, std::unique_ptr<LocalPool> local)
        : ring_(std::move(ring)), local_(std::move(local)) {}
    ~LocalVolume() override {
        if (volume_ != nullptr) local_->pool().close_volume(*volume_);
    }
    LocalVolume(const LocalVolume&) = delete;
    LocalVolume& operator=(const LocalVolume&) = delete;

    Result<> open(const ThinRow& row, Purpose purpose) {
        if (!row.external_origin.empty()) origin_ = TRY(open_external_origin(row.external_origin));
        volume_ = TRY(local_->pool().open_volume(row.thin_id, row.size, purpose == Purpose::reading,
                                                 origin_.get()));
        return {};
    }

    Result<> run(std::span<IoRequest> requests) override {
        Pool& pool = local_->pool();
        std::size_t left = requests.size();
        for (IoRequest& request : requests) {
            request.volume = volume_;
            request.waits_for_space = false;
            request.owner = &left;
            request.done = [](IoRequest& r) { --*static_cast<std::size_t*>(r.owner); };
            pool.submit(request);
        }
        pool.run_until([&] { return left == 0; });
        ASSERT(left == 0);
        return first_error(requests);
    }
    bool room_may_come() const override { return false; }

private:
    std::unique_ptr<Ring> ring_;
    std::unique_ptr<LocalPool> local_;
    std::unique_ptr<BlockQueue> origin_;
    Volume* volume_ = nullptr;
};

class ServedVolume : public VolumeAccess {
public:
    explicit ServedVolume(ControlClient client) : client_(std::move(client)) {}
    ~ServedVolume() override { client_.close(); }
    ServedVolume(const ServedVolume&) = delete;
    ServedVolume& operator=(const ServedVolume&) = delete;

    Result<> run(std::span<IoRequest> requests) override {
        for (const IoRequest& request : requests) {
            TRY(client_.send(
                new_request(VolumeIoRequest{request.kind, request.offset.n, request.length.n})));
            if (request.kind == IoKind::write)
                TRY(client_.send_payload({request.buffer, request.length.n}));
        }
        for (IoRequest& request : requests) {
            TRY(client_.await_answer());
            const auto text = TRY(client_.receive_answer());
            if (!text) return Error(Errc::io_error, "the pool's server ended");
            const auto answer = answer_from_json(*text);
            request.outcome =
                answer ? receive(request, answer->bytes_following) : Result<>(answer.error());
        }
        return first_error(requests);
    }
    bool room_may_come() const override { return true; }

private:
    Result<> receive(IoRequest& request, std::uint64_t bytes) {
        if (request.kind == IoKind::read) {
            if (bytes != request.length.n)
                return Error(Errc::io_error, "control connection: not what was asked for");
            return client_.receive({request.buffer, bytes});
        }
        if (bytes % 16 != 0 || bytes / 16 > extents_at_once)
            return Error(Errc::io_error, "control connection: these are no extents");
        std::vector<std::byte> pairs(bytes);
        TRY(client_.receive(pairs));
        for (std::size_t i = 0; i < bytes; i += 16) {
            request.extents->push_back(
                {load_le<std::uint64_t>(&pairs[i]),
                 static_cast<Backing>(load_le<std::uint64_t>(&pairs[i + 8]))});
        }
        return {};
    }
    ControlClient client_;
};

}  // namespace

Result<std::vector<VolumeExtent>> VolumeAccess::extents(ByteOffset at, Bytes length) {
    std::vector<VolumeExtent> found;
    std::array<IoRequest, 1> status;
    status[0].kind = IoKind::status;
    status[0].offset = at;
    status[0].length = length;
    status[0].extents = &found;
    status[0].most = extents_at_once;
    TRY(run(status));
    std::uint64_t sum = 0;
    for (const VolumeExtent& e : found) {
        if (e.length == 0 || e.length > length.n - sum || e.backing > Backing::shared)
            return Error(Errc::io_error, "control connection: these are no extents");
        sum += e.length;
    }
    if (sum == 0) return Error(Errc::io_error, "nothing is known of what the volume maps");
    return found;
}

Result<> VolumeAccess::flush() {
    std::array<IoRequest, 1> flush;
    flush[0].kind = IoKind::flush;
    return run(flush);
}

Result<std::unique_ptr<VolumeAccess>> VolumeAccess::open(Session& session, const GroupRow& group,
                                                         const PoolRow& pool, const ThinRow& volume,
                                                         Purpose purpose) {
    using Opened = Result<std::unique_ptr<VolumeAccess>>;
    auto opened = until_answered(session.environment, pool, [&]() -> Result<Opened> {
        auto client = ControlClient::connect(session.environment.control_socket(pool.lv.uuid),
                                             pool_patience::patience);
        if (client) {
            const bool sent = client
                                  ->send(new_request(
                                      OpenVolumeRequest{volume.lv.id, purpose == Purpose::writing}))
                                  .has_value();
            if (auto told = client->await_answer(); !told) return Opened(std::move(told).error());
            const auto text = client->receive_answer();
            if (!sent || !text || !*text) return Error(Errc::not_found, "the server went away");
            auto answer = answer_from_json(**text);
            if (!answer) return Opened(std::move(answer).error());
            return Opened(std::make_unique<ServedVolume>(std::move(*client)));
        }
        if (client.error().code != Errc::not_found) return Opened(std::move(client).error());
        // A ring is of the thread that made it, and who writes does it on another.
        std::unique_ptr<Ring> owned;
        if (auto ring = Ring::open(ring_entries); ring && purpose == Purpose::reading)
            owned = std::move(*ring);  // refused in some containers: then without
        auto local = LocalPool::open(session, group, pool, owned.get());
        if (!local && local.error().code == Errc::busy) return std::move(local).error();
        if (!local) return Opened(std::move(local).error());
        auto access = std::make_unique<LocalVolume>(std::move(owned), std::move(*local));
        if (auto done = access->open(volume, purpose); !done)
            return Opened(std::move(done).error());
        return Opened(std::move(access));
    });
    if (!opened) return std::move(opened).error();
    return std::move(*opened);
}

Result<bool> is_active(Session& session, const PoolRow& pool, const ThinRow& volume) {
    const auto status = TRY(pool_status(session.environment, pool));
    if (!status) return false;
    const auto same = [&](const ActiveVolume& v) { return v.lv_id == volume.lv.id; };
    return std::any_of(status->active.begin(), status->active.end(), same);
}

Result<> remove_left_over(Session& session, const GroupRow& group, const PoolRow& pool,
                          const std::string& name, std::string_view tag) {
    const auto lv = TRY(session.catalog.lookup_lv(group.id, name));
    if (!lv || lv->kind != LvKind::thin) return {};  // a name that is taken is refused later
    const auto tags = TRY(tags_of(session.catalog, {group.id, 0, lv->id}));
    if (std::find(tags.begin(), tags.end(), tag) == tags.end()) return {};
    using Clock = std::chrono::steady_clock;
    for (const auto end = Clock::now() + patience;; std::this_thread::sleep_for(pause)) {
        auto removed = remove_volumes(session, group, pool, {{lv->id}, false});
        if (removed) return {};
        if (removed.error().code != Errc::busy || Clock::now() > end)
            return std::move(removed).error();
    }
}

}  // namespace thinvol
