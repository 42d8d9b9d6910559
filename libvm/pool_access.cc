#include "libvm/pool_access.h"

#include <fmt/format.h>

#include <thread>

#include "libvm/left_devices.h"
#include "libvm/pool_lending.h"
#include "libvm/reconcile.h"
#include "libvm/rehearsal.h"
#include "libvm/server_process.h"

namespace thinvol {
namespace {

using Clock = std::chrono::steady_clock;
using namespace pool_patience;

constexpr auto report_patience = std::chrono::seconds(5);  // for a pool's state

// Reads metadata blocks by way of the pool's server, some ahead: readers go through them mostly in
// order.
class PinnedDevice : public BlockQueue {
public:
    static Result<std::unique_ptr<PinnedDevice>> open(ControlClient client) {
        std::unique_ptr<PinnedDevice> device(new PinnedDevice(std::move(client)));
        const PoolAnswer answer = TRY(device->client_.ask(new_request(PinRequest{})));
        if (answer.bytes_following != device->superblock_.size())
            return Error(Errc::io_error, "control connection: no superblock follows");
        TRY(device->client_.receive(device->superblock_));
        device->blocks_ = MetadataBlocks(answer.metadata_blocks);
        return device;
    }
    Sectors size() const override {
        return Sectors(blocks_.n * (metadata_block_bytes / sector_bytes));
    }
    Sectors granule() const override { return Sectors(metadata_block_bytes / sector_bytes); }
    bool submit(Request& request) override {
        request.outcome = check_range(*this, request);
        if (request.outcome && request.op != Op::read)
            request.outcome = Error(Errc::read_only, "a pinned transaction is only read");
        if (request.outcome) request.outcome = read(request);
        return true;
    }
    void poll(bool) override {}
    std::size_t in_flight() const override { return 0; }

private:
    explicit PinnedDevice(ControlClient client) : client_(std::move(client)) {}
    Result<> read(const Request& request) {
        std::uint64_t block = to_metadata_blocks(request.at - Sector(0)).n;
        for (const iovec& part : request.data) {
            auto* into = static_cast<std::byte*>(part.iov_base);
            for (std::size_t done = 0; done < part.iov_len; done += metadata_block_bytes, ++block) {
                std::memcpy(into + done, TRY(cached(block)), metadata_block_bytes);
            }
        }
        return {};
    }
    Result<const std::byte*> cached(std::uint64_t block) {
        constexpr std::uint64_t ahead = 64;
        if (block == 0) return superblock_.data();
        if (block < first_ || block >= first_ + count_) {
            first_ = block;
            count_ = std::min(ahead, blocks_.n - block);
            const PoolAnswer answer =
                TRY(client_.ask(new_request(ReadMetadataRequest{first_, count_})));
            if (answer.bytes_following != count_ * metadata_block_bytes)
                return Error(Errc::io_error, "control connection: the blocks are missing");
            window_.resize(answer.bytes_following);
            TRY(client_.receive(window_));
        }
        return window_.data() + (block - first_) * metadata_block_bytes;
    }
    ControlClient client_;
    MetadataBlocks blocks_{};
    std::array<std::byte, metadata_block_bytes> superblock_{};
    std::vector<std::byte> window_;
    std::uint64_t first_ = 0;
    std::uint64_t count_ = 0;
};

class ServedView : public MetadataView {
public:
    explicit ServedView(std::unique_ptr<PinnedDevice> device) : device_(std::move(device)) {}
    BlockQueue& device() override { return *device_; }

private:
    std::unique_ptr<PinnedDevice> device_;
};

class LocalView : public MetadataView {
public:
    LocalView(FileLock lock, std::unique_ptr<PoolDevices> devices)
        : lock_(std::move(lock)), devices_(std::move(devices)) {}
    BlockQueue& device() override { return devices_->metadata(); }

private:
    FileLock lock_;
    std::unique_ptr<PoolDevices> devices_;
};

// A server that was killed leaves its sockets behind, and perhaps devices which another is to go on
// with. Whether that one is there now.
Result<bool> revive_server(const Environment& environment, const PoolRow& pool) {
    if (environment.rehearsal || !environment.has_sockets(pool.lv.uuid)) return false;
    {
        const auto lock = FileLock::try_exclusive(environment.lock_path(pool.lv.uuid));
        if (!lock || clear_left_overs(environment, pool.lv.uuid)) return false;
    }
    auto started = start_server_process(environment, pool.lv.uuid);
    if (!started && started.error().code != Errc::exists && started.error().code != Errc::busy)
        return Error(Errc::io_error,
                     fmt::format("{}; devices of the server before wait for it: tvchange -an -f "
                                 "removes them, with errors to whoever uses them",
                                 started.error().text));
    return true;
}

// not_found: no server, or it went away before it answered.
Result<Result<PoolAnswer>> try_server(const Environment& environment, const PoolRow& pool,
                                      const PoolRequest& request) {
    const bool asks_only = std::holds_alternative<StatusRequest>(request.what);
    const auto named = [&](auto outcome) {
        return within(fmt::format("pool {}", pool.lv.name), std::move(outcome));
    };
    const auto connect = [&] {
        return named(ControlClient::connect(environment.control_socket(pool.lv.uuid),
                                            asks_only ? report_patience : patience));
    };
    auto client = connect();
    if (!client && client.error().code == Errc::not_found &&
        TRY(named(revive_server(environment, pool))))
        client = connect();
    if (!client) return std::move(client).error();
    const bool sent = client->send(request).has_value();
    TRY(named(client->await_answer()));
    auto text = client->receive_answer();
    if (!sent || !text || !*text) return Error(Errc::not_found, "the server went away");
    return answer_from_json(**text);
}

}  // namespace

PoolRequest new_request(decltype(PoolRequest::what) what) { return {new_uuid(), std::move(what)}; }

Result<PoolAnswer> ask_owner(Session& session, const GroupRow& group, const PoolRow& pool,
                             const PoolRequest& request) {
    TRY(check_group_usable(session, group));
    if (session.environment.rehearsal) return rehearse(session, pool, request);
    auto answer = until_answered(session.environment, pool, [&]() -> Result<Result<PoolAnswer>> {
        auto served = try_server(session.environment, pool, request);
        if (served || served.error().code != Errc::not_found) return served;
        auto local = LocalPool::open(session, group, pool);
        if (!local && local.error().code == Errc::busy) return std::move(local).error();
        if (!local) return Result<PoolAnswer>(std::move(local).error());
        return PoolOwner(session, **local, pool, nullptr).execute(request);
    });
    if (!answer) return std::move(answer).error();
    return std::move(*answer);
}

Result<PoolAnswer> ask_server(Session& session, const GroupRow& group, const PoolRow& pool,
                              const PoolRequest& request) {
    TRY(check_group_usable(session, group));
    if (session.environment.rehearsal) return PoolAnswer{};
    auto answer = until_answered(session.environment, pool, [&]() -> Result<Result<PoolAnswer>> {
        auto served = try_server(session.environment, pool, request);
        if (served || served.error().code != Errc::not_found) return served;
        auto started = start_server_process(session.environment, pool.lv.uuid);
        if (!started && started.error().code != Errc::exists && started.error().code != Errc::busy)
            return Result<PoolAnswer>(std::move(started).error());
        return Error(Errc::not_found, "not yet");
    });
    if (!answer) return std::move(answer).error();
    return std::move(*answer);
}

Result<std::optional<PoolAnswer>> ask_if_served(const Environment& environment, const PoolRow& pool,
                                                const PoolRequest& request) {
    const bool asks_only = std::holds_alternative<StatusRequest>(request.what);
    if (environment.rehearsal && !asks_only) {
        auto status = TRY(ask_if_served(environment, pool, new_request(StatusRequest{})));
        if (!status) return std::optional<PoolAnswer>();
        return std::optional(TRY(rehearse_served(std::move(*status), request)));
    }
    auto answer = try_server(environment, pool, request);
    if (!answer && answer.error().code == Errc::not_found) return std::optional<PoolAnswer>();
    if (!answer) return std::move(answer).error();
    if (!*answer) return std::move(*answer).error();
    return std::optional(std::move(**answer));
}

Result<std::optional<std::uint64_t>> restart_server(const Environment& environment,
                                                    const PoolRow& pool) {
    if (!TRY(ask_if_served(environment, pool, new_request(StatusRequest{}))))
        return std::optional<std::uint64_t>();
    if (environment.rehearsal) return std::optional<std::uint64_t>(0);
    const PoolRequest request = new_request(RestartRequest{});
    // The program that goes does not answer; the one that comes knows the request.
    auto answer = until_answered(environment, pool, [&]() -> Result<Result<PoolAnswer>> {
        auto served = try_server(environment, pool, request);
        if (served || served.error().code != Errc::not_found) return served;
        if (FileLock::try_exclusive(environment.lock_path(pool.lv.uuid)))
            return Result<PoolAnswer>(Error(
                Errc::io_error, fmt::format("pool {}: the server ended instead of being replaced; "
                                            "why is in its log in {}",
                                            pool.lv.name, environment.run_dir.string())));
        return served;
    });
    if (!answer) return std::move(answer).error();
    return std::optional(TRY(std::move(*answer)).pause_ms);
}

Result<> stop_server(Session& session, const PoolRow& pool) {
    const auto status = TRY(ask_if_served(session.environment, pool, new_request(StatusRequest{})));
    if (!status) return {};
    DeactivateRequest all;
    for (const ActiveVolume& v : status->active) all.lv_ids.push_back(v.lv_id);
    TRY(ask_if_served(session.environment, pool, new_request(all)));
    if (session.environment.rehearsal) return {};
    await_server_end(session.environment, pool);
    return {};
}

void await_server_end(const Environment& environment, const PoolRow& pool) {
    for (const auto end = Clock::now() + patience; Clock::now() < end;
         std::this_thread::sleep_for(pause)) {
        if (FileLock::try_exclusive(environment.lock_path(pool.lv.uuid))) return;
        const auto status = ask_if_served(environment, pool, new_request(StatusRequest{}));
        if (status && *status && (!(*status)->active.empty() || !(*status)->warnings.empty()))
            return;
    }
}

Result<std::unique_ptr<MetadataView>> MetadataView::open(Session& session, const GroupRow& group,
                                                         const PoolRow& pool) {
    return until_answered(
        session.environment, pool, [&]() -> Result<std::unique_ptr<MetadataView>> {
            auto client =
                ControlClient::connect(session.environment.control_socket(pool.lv.uuid), patience);
            if (client)
                return std::make_unique<ServedView>(TRY(PinnedDevice::open(std::move(*client))));
            if (client.error().code != Errc::not_found) return std::move(client).error();
            auto lock = TRY(FileLock::try_exclusive(session.environment.lock_path(pool.lv.uuid)));
            TRY(check_not_lent(group, TRY(session.catalog.pool(pool.lv.id))));
            const bool pending = TRY(session.catalog.pending(pool.lv.id)).has_value();
            auto devices = PoolDevices::open(session, group, pool, pending, nullptr, false);
            if (!devices)
                return Error(Errc::io_error,
                             devices.error().text);  // no code that means "try again"
            return std::make_unique<LocalView>(std::move(lock), std::move(*devices));
        });
}

}  // namespace thinvol
