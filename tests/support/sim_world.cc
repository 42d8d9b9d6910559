#include "tests/support/sim_world.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace thinvol {

// --- the catalog's files -------------------------------------------------------------------------

namespace {

// Decides which calls fail.
struct Faults {
    using Kind = CatalogFault::Kind;
    std::optional<CatalogFault> planned;
    std::uint64_t calls = 0;
    bool failed = false;

    bool strikes(std::initializer_list<Kind> kinds) {
        if (!planned || std::ranges::find(kinds, planned->kind) == kinds.end()) return false;
        ++calls;
        const bool now = planned->on ? calls >= planned->at : calls == planned->at;
        failed = failed || now;
        return now;
    }
    bool fails() { return strikes({Kind::fails}); }
};

// A file of SQLite's, in memory. Writes are visible at once and durable after a sync.
struct MemoryFile {
    std::vector<std::byte> bytes;
    Trace* trace = nullptr;
    std::uint32_t device = 0;
    std::vector<std::vector<std::byte>> shared;  // the WAL index
    std::size_t sharing = 0;                     // connections

    void write(const std::byte* from, std::size_t n, std::size_t at) {
        if (bytes.size() < at + n) bytes.resize(at + n);
        std::memcpy(bytes.data() + at, from, n);
        if (trace == nullptr) return;
        trace->writes.push_back({device, at, std::vector<std::byte>(from, from + n), false});
        trace->events.push_back({Trace::Kind::write_submitted, device, trace->writes.size() - 1});
        trace->events.push_back({Trace::Kind::write_completed, device, trace->writes.size() - 1});
    }
    void fail_to_sync() const {
        if (trace != nullptr)
            trace->events.push_back({Trace::Kind::flush_failed, device, trace->flushes++});
    }
    void sync() const {
        if (trace == nullptr) return;
        trace->events.push_back({Trace::Kind::flush_submitted, device, trace->flushes});
        trace->events.push_back({Trace::Kind::flush_completed, device, trace->flushes++});
    }
};

struct OpenFile : sqlite3_file {
    MemoryFile* file;
    Faults* faults;
    bool shares;
};
MemoryFile& of(sqlite3_file* f) { return *static_cast<OpenFile*>(f)->file; }
Faults& faults_of(sqlite3_file* f) { return *static_cast<OpenFile*>(f)->faults; }

int f_close(sqlite3_file*) { return SQLITE_OK; }
int f_read(sqlite3_file* f, void* into, int n, sqlite3_int64 at) {
    if (faults_of(f).fails()) return SQLITE_IOERR_READ;
    const MemoryFile& file = of(f);
    const auto size = static_cast<sqlite3_int64>(file.bytes.size());
    const auto have = static_cast<std::size_t>(std::clamp<sqlite3_int64>(size - at, 0, n));
    if (have > 0) std::memcpy(into, file.bytes.data() + at, have);
    std::memset(static_cast<std::byte*>(into) + have, 0, static_cast<std::size_t>(n) - have);
    return have == static_cast<std::size_t>(n) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}
int f_write(sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
    using Kind = CatalogFault::Kind;
    const auto* bytes = static_cast<const std::byte*>(from);
    const auto length = static_cast<std::size_t>(n);
    const auto where = static_cast<std::size_t>(at);
    Faults& faults = faults_of(f);
    if (!faults.strikes({Kind::fails, Kind::no_space, Kind::tears}))
        return of(f).write(bytes, length, where), SQLITE_OK;
    if (faults.planned->kind == Kind::tears) of(f).write(bytes, length / 2, where);
    return faults.planned->kind == Kind::no_space ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}
int f_truncate(sqlite3_file* f, sqlite3_int64 size) {
    if (faults_of(f).fails()) return SQLITE_IOERR_TRUNCATE;
    of(f).bytes.resize(static_cast<std::size_t>(size));
    return SQLITE_OK;
}
int f_sync(sqlite3_file* f, int) {
    using Kind = CatalogFault::Kind;
    Faults& faults = faults_of(f);
    if (!faults.strikes({Kind::fails, Kind::lies})) return of(f).sync(), SQLITE_OK;
    if (faults.planned->kind == Kind::lies) return SQLITE_OK;
    return of(f).fail_to_sync(), SQLITE_IOERR_FSYNC;
}
int f_size(sqlite3_file* f, sqlite3_int64* size) {
    if (faults_of(f).fails()) return SQLITE_IOERR_FSTAT;
    return *size = static_cast<sqlite3_int64>(of(f).bytes.size()), SQLITE_OK;
}
int f_lock(sqlite3_file* f, int) { return faults_of(f).fails() ? SQLITE_IOERR_LOCK : SQLITE_OK; }
int f_unlock(sqlite3_file*, int) { return SQLITE_OK; }
int f_check_reserved(sqlite3_file*, int* reserved) { return *reserved = 0, SQLITE_OK; }
int f_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int f_sector_size(sqlite3_file*) { return 512; }
int f_characteristics(sqlite3_file*) { return 0; }
int f_shm_map(sqlite3_file* f, int page, int size, int extend, void volatile** at) {
    if (faults_of(f).fails()) return SQLITE_IOERR_SHMMAP;
    auto& shared = of(f).shared;
    bool& shares = static_cast<OpenFile*>(f)->shares;
    if (!std::exchange(shares, true)) ++of(f).sharing;
    while (extend != 0 && shared.size() <= static_cast<std::size_t>(page))
        shared.emplace_back(static_cast<std::size_t>(size));
    *at = static_cast<std::size_t>(page) < shared.size()
              ? shared[static_cast<std::size_t>(page)].data()
              : nullptr;
    return SQLITE_OK;
}
int f_shm_lock(sqlite3_file* f, int, int, int how) {
    return (how & SQLITE_SHM_LOCK) != 0 && faults_of(f).fails() ? SQLITE_IOERR_SHMLOCK : SQLITE_OK;
}
void f_shm_barrier(sqlite3_file*) {}
int f_shm_unmap(sqlite3_file* f, int) {
    bool& shares = static_cast<OpenFile*>(f)->shares;
    if (std::exchange(shares, false) && --of(f).sharing == 0) of(f).shared.clear();
    return SQLITE_OK;
}

const sqlite3_io_methods file_methods{2,
                                      f_close,
                                      f_read,
                                      f_write,
                                      f_truncate,
                                      f_sync,
                                      f_size,
                                      f_lock,
                                      f_unlock,
                                      f_check_reserved,
                                      f_control,
                                      f_sector_size,
                                      f_characteristics,
                                      f_shm_map,
                                      f_shm_lock,
                                      f_shm_barrier,
                                      f_shm_unmap,
                                      nullptr,
                                      nullptr};

}  // namespace

struct SimWorld::Vfs {
    std::string name;
    sqlite3_vfs vfs{};
    std::map<std::string, std::unique_ptr<MemoryFile>> files;
    Faults faults;

    explicit Vfs(std::string called) : name(std::move(called)) {
        vfs = *sqlite3_vfs_find(nullptr);
        vfs.zName = name.c_str();
        vfs.pAppData = this;
        vfs.szOsFile = sizeof(OpenFile);
        vfs.pNext = nullptr;
        vfs.xOpen = [](sqlite3_vfs* v, const char* path, sqlite3_file* f, int, int* out) {
            auto& self = *static_cast<Vfs*>(v->pAppData);
            auto& opened = *static_cast<OpenFile*>(f);
            f->pMethods = nullptr;
            if (self.faults.fails()) return SQLITE_CANTOPEN;
            opened.file = &self.file(path == nullptr ? "temporary" : path);
            opened.faults = &self.faults;
            opened.shares = false;
            f->pMethods = &file_methods;
            if (out != nullptr) *out = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
            return SQLITE_OK;
        };
        vfs.xDelete = [](sqlite3_vfs* v, const char* path, int) {
            auto& self = *static_cast<Vfs*>(v->pAppData);
            if (self.faults.fails()) return SQLITE_IOERR_DELETE;
            return self.files.erase(path), SQLITE_OK;
        };
        vfs.xAccess = [](sqlite3_vfs* v, const char* path, int, int* there) {
            auto& self = *static_cast<Vfs*>(v->pAppData);
            if (self.faults.fails()) return SQLITE_IOERR_ACCESS;
            const auto& all = self.files;
            const auto it = all.find(path);
            *there = it != all.end() && !it->second->bytes.empty() ? 1 : 0;
            return SQLITE_OK;
        };
        vfs.xFullPathname = [](sqlite3_vfs*, const char* path, int n, char* out) {
            return std::snprintf(out, static_cast<std::size_t>(n), "%s", path), SQLITE_OK;
        };
        vfs.xSleep = [](sqlite3_vfs*, int us) { return us; };
        sqlite3_vfs_register(&vfs, 0);
    }
    ~Vfs() { sqlite3_vfs_unregister(&vfs); }
    Vfs(const Vfs&) = delete;
    Vfs& operator=(const Vfs&) = delete;

    MemoryFile& file(const std::string& path) {
        auto& f = files[path];
        if (!f) f = std::make_unique<MemoryFile>();
        return *f;
    }
};

// --- physical volumes ----------------------------------------------------------------------------

namespace {

// One of several openings of the same device.
class SharedQueue : public BlockQueue {
public:
    explicit SharedQueue(SimDevice& device) : device_(device) {}
    Sectors size() const override { return device_.size(); }
    Sectors granule() const override { return device_.granule(); }
    bool submit(Request& request) override { return device_.submit(request); }
    void poll(bool wait) override { device_.poll(wait); }
    std::size_t in_flight() const override { return device_.in_flight(); }

private:
    SimDevice& device_;
};

}  // namespace

class SimWorld::Opener : public PvOpener {
public:
    explicit Opener(SimWorld& world) : world_(world) {}
    Result<Opened> open(const std::string& path, const How&) override {
        for (std::size_t i = 0; i < world_.pvs_.size(); ++i) {
            if (path != pv_path(i)) continue;
            Opened opened;
            opened.queue = std::make_unique<SharedQueue>(*world_.pvs_[i]);
            opened.allocate = [](Sector, Sectors) { return Result<>(); };
            return opened;
        }
        return Error(Errc::not_found, path + ": no such physical volume");
    }
    Result<PvCandidate> examine(const std::string& path) override {
        auto opened = TRY(open(path, {}));
        PvCandidate candidate;
        candidate.path = path;
        candidate.size = opened.queue->size();
        if (auto label = read_label(*opened.queue)) candidate.label = *label;
        return candidate;
    }

private:
    SimWorld& world_;
};

// --- the world -----------------------------------------------------------------------------------

SimWorld::SimWorld(std::size_t pvs, Sectors size, std::uint64_t seed) {
    for (std::size_t i = 0; i < pvs; ++i) {
        pvs_.push_back(std::make_unique<SimDevice>(trace_, static_cast<std::uint32_t>(i),
                                                   std::vector<std::byte>(to_bytes(size).n),
                                                   seed + i));
    }
    begin();
}

SimWorld::SimWorld(std::vector<std::vector<std::byte>> images, std::uint64_t seed) {
    ASSERT(images.size() >= 2);
    for (std::size_t i = 0; i + 2 < images.size(); ++i) {
        pvs_.push_back(std::make_unique<SimDevice>(trace_, static_cast<std::uint32_t>(i),
                                                   std::move(images[i]), seed + i));
    }
    begin();
    vfs_->file("/catalog.db").bytes = std::move(images[images.size() - 2]);
    vfs_->file("/catalog.db-wal").bytes = std::move(images[images.size() - 1]);
}

SimWorld::~SimWorld() = default;

void SimWorld::begin() {
    static int worlds = 0;
    opener_ = std::make_unique<Opener>(*this);
    vfs_ = std::make_unique<Vfs>(fmt::format("sim-{}", ++worlds));
    const auto count = static_cast<std::uint32_t>(pvs_.size());
    for (const auto& [path, device] :
         {std::pair("/catalog.db", count), std::pair("/catalog.db-wal", count + 1)}) {
        vfs_->file(path).trace = &trace_;
        vfs_->file(path).device = device;
    }
}

void SimWorld::plan(std::optional<CatalogFault> fault) { vfs_->faults = {fault}; }
std::uint64_t SimWorld::calls() const { return vfs_->faults.calls; }
bool SimWorld::failed() const { return vfs_->faults.failed; }

std::string SimWorld::pv_path(std::size_t i) {
    static const TemporaryDirectory home;
    const auto path = std::filesystem::canonical(home.path()) / fmt::format("pv{}", i);
    if (!std::filesystem::exists(path)) write_file(path, {});
    return path.string();
}

Result<Session> SimWorld::session(Opening opening) {
    Environment environment;
    environment.state_dir = "/";
    environment.run_dir = locks_.path() / "run";
    environment.lock_dir = locks_.path();
    environment.sqlite_vfs = vfs_->name;
    if (opening == Opening::alone) vfs_->file("/catalog.db").shared.clear();
    Catalog catalog = TRY(Catalog::open(environment));
    return Session{environment, std::move(catalog), opener_.get(), [this] { return ++clock_; }};
}

std::vector<std::vector<std::byte>> SimWorld::images() const {
    std::vector<std::vector<std::byte>> images;
    for (const auto& pv : pvs_) images.push_back(pv->image());
    images.push_back(vfs_->file("/catalog.db").bytes);
    images.push_back(vfs_->file("/catalog.db-wal").bytes);
    return images;
}

}  // namespace thinvol
