#include "libvm/rehearsal.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <unordered_map>

#include "libvm/catalog_vfs.h"
#include "libvm/pool_owner.h"

namespace thinvol {
namespace {

// Sectors written to a physical volume, by its path: however often it is opened.
using Written = std::unordered_map<std::uint64_t, std::array<std::byte, sector_bytes>>;

// Reads what is below and, above it, what was written here.
class RehearsedQueue : public BlockQueue {
public:
    RehearsedQueue(std::unique_ptr<BlockQueue> below, Written& written)
        : below_(std::move(below)), written_(written) {}
    Sectors size() const override { return below_->size(); }
    Sectors granule() const override { return below_->granule(); }
    void poll(bool) override {}
    std::size_t in_flight() const override { return 0; }

    bool submit(Request& request) override {
        request.outcome = check_range(*this, request);
        if (!request.outcome || request.op == Op::flush) return true;
        std::uint64_t sector = request.at.n;
        if (request.op == Op::discard || request.op == Op::write_zeroes) {
            for (std::uint64_t i = 0; i < request.length.n; ++i) written_[sector + i].fill({});
            return true;
        }
        const bool reads = request.op == Op::read;
        if (reads) below_->submit(request);  // opened without a ring: it is done at once
        if (!request.outcome) return true;
        for (const iovec& part : request.data) {
            auto* bytes = static_cast<std::byte*>(part.iov_base);
            for (std::size_t done = 0; done < part.iov_len; done += sector_bytes, ++sector) {
                const auto there = written_.find(sector);
                if (!reads) std::memcpy(written_[sector].data(), bytes + done, sector_bytes);
                else if (there != written_.end())
                    std::memcpy(bytes + done, there->second.data(), sector_bytes);
            }
        }
        return true;
    }

private:
    std::unique_ptr<BlockQueue> below_;
    Written& written_;
};

class RehearsedOpener : public PvOpener {
public:
    Result<Opened> open(const std::string& path, const How& how) override {
        How plain = how;
        plain.ring = nullptr;
        plain.unflushed = false;
        Opened opened = TRY(file_opener().open(path, plain));
        opened.claim = nullptr;  // others may use what is only read
        opened.queue = std::make_unique<RehearsedQueue>(std::move(opened.queue), written_[path]);
        opened.allocate = [](Sector, Sectors) { return Result<>(); };
        opened.flushes = [] { return std::uint64_t{0}; };
        return opened;
    }
    Result<PvCandidate> examine(const std::string& path) override {
        return file_opener().examine(path);
    }

private:
    std::map<std::string, Written> written_;
};

struct Stage {
    std::filesystem::path directory;
    RehearsedOpener opener;
    Stage() = default;
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;
    ~Stage() {
        std::error_code ignored;
        if (!directory.empty()) std::filesystem::remove_all(directory, ignored);
    }
};

// As one transaction sees it; its write-ahead log stays where it is.
Result<> copy_catalog(const Environment& from, const std::filesystem::path& to) {
    std::error_code error;
    if (!std::filesystem::exists(from.catalog_path(), error)) return {};
    Database db = TRY(Database::open(from.catalog_path(), {.vfs = catalog_vfs()}));
    sqlite3_busy_timeout(db.handle(), 10000);
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    return db.run("VACUUM INTO ?", std::string_view(to.native()));
}

// A pool that does all it is asked.
class AgreeingPool : public PoolEngine {
public:
    void call(const std::function<void(Pool&, PoolDevices&)>&) override {}
    Result<> apply(std::vector<PoolOperation>, TransactionId, TransactionId) override { return {}; }
    Result<> run(IoRequest&) override { return {}; }
};

}  // namespace

Result<Session> open_rehearsal(const Environment& environment) {
    auto stage = std::make_shared<Stage>();
    std::string directory = (std::filesystem::temp_directory_path() / "thinvol-test-XXXXXX");
    if (::mkdtemp(directory.data()) == nullptr)
        return Error(Errc::io_error, fmt::format("{}: {}", directory, std::strerror(errno)));
    stage->directory = directory;
    Environment rehearsed = environment;
    rehearsed.state_dir = stage->directory;
    rehearsed.lock_dir.clear();
    rehearsed.rehearsal = true;
    TRY(copy_catalog(environment, rehearsed.catalog_path()));
    Session session = TRY(Session::open(rehearsed));
    session.opener = &stage->opener;
    session.stage = std::move(stage);
    return session;
}

Result<PoolAnswer> rehearse(Session& session, const PoolRow& pool, const PoolRequest& request) {
    if (TRY(session.catalog.pending(pool.lv.id))) {
        return Error(Errc::busy, fmt::format("pool {} has an operation half done, which the next "
                                             "command without --test ends",
                                             pool.lv.name));
    }
    AgreeingPool engine;
    return PoolOwner(session, engine, pool, nullptr).execute(request);
}

Result<PoolAnswer> rehearse_served(PoolAnswer status, const PoolRequest& request) {
    const auto* ends = std::get_if<DeactivateRequest>(&request.what);
    if (ends == nullptr) return PoolAnswer{};
    for (const std::int64_t lv_id : ends->lv_ids) {
        for (const ActiveVolume& active : status.active) {
            if (active.lv_id == lv_id && active.clients > 0)
                return Error(Errc::busy, fmt::format("Logical volume {} in use", active.uri));
        }
    }
    return PoolAnswer{};
}

}  // namespace thinvol
