// PvLog: a copy of a group's catalog rows on its physical volumes, from which a lost catalog is
// made anew.
//
// The area has two halves. A half begins with a header, then a checkpoint (every row), then records
// with the changes since, each in 4096-byte blocks. A new checkpoint goes to the other half, and
// counts once its header is written; the half with the higher generation is the one that is read.
//
//   header  0 "TVLOGHDR" | 8 crc32c | 12 version | 16 generation | 24 group uuid | 40 last change
//           48 bytes of the checkpoint | 56 its crc32c
//   record  0 "TVLR" | 4 crc32c | 8 bytes | 12 unused | 16 generation | 24 last change | 32 text
//   text    one change a line, as JSON: {"t":"lv","r":{...}} or {"t":"lv","d":7}
//
// Units       sectors; changes by their number in the catalog's vg_log
// Invariants  (1) written after the catalog's commit: it may be behind the catalog, never ahead of
//                 it
//             (2) a checkpoint never overwrites what the current half holds
// Errors      out_of_space: the area is too small; corrupt
// Threads     externally synchronised, across processes by the group's log lock
// Source      append-and-checkpoint logs as in LevelDB
#pragma once

#include <optional>

#include "libvm/catalog.h"
#include "libvm/pv_label.h"

namespace thinvol {

class PvLog {
public:
    // Where a record begins that was the last one once, and the checksum that it follows: spares
    // the next opening a walk over all records.
    struct Mark {
        std::uint64_t generation = 0;
        Sector at{};
        std::uint32_t before = 0;
    };
    // Finds the current half and its end. An area without a valid header is an empty log. A mark
    // that does not fit what lies there is of no consequence.
    static Result<PvLog> open(BlockQueue& device, Sector at, Sectors length, const UuidBytes& group,
                              const std::optional<Mark>& mark = std::nullopt);
    // Of the last record; nothing before the first one.
    std::optional<Mark> mark() const { return mark_; }

    // The last change it holds; 0: none.
    std::int64_t last_change() const { return last_change_; }
    bool empty() const { return generation_ == 0; }
    // Empty, and not because what was there is damaged.
    bool never_written() const { return blank_; }
    // Durable on success. out_of_space: time for a checkpoint.
    Result<> append(const std::vector<Catalog::Change>& changes);
    // Durable on success. out_of_space: time for a larger area.
    Result<> checkpoint(const std::vector<Catalog::Change>& rows, std::int64_t last_change);
    static Sectors area_for(const std::vector<Catalog::Change>& rows);
    // Everything it holds, in order.
    Result<std::vector<std::string>> read_all();

private:
    PvLog(BlockQueue& device, Sector at, Sectors half, const UuidBytes& group)
        : device_(device), at_(at), half_(half), group_(group) {}
    struct Header {
        std::uint64_t generation = 0;
        std::int64_t last_change = 0;
        std::uint64_t bytes = 0;
        std::uint32_t crc = 0;
        std::uint32_t own_crc = 0;
    };
    Sector half_at(std::uint64_t generation) const {
        return generation % 2 == 0 ? at_ : at_ + half_;
    }
    Result<Header> read_header(Sector at);
    // Calls visit(text) for each record behind the checkpoint; sets tail_.
    template <class Visit>
    Result<> scan(Visit&& visit);
    // The same from tail_ on.
    template <class Visit>
    Result<> scan_on(Visit&& visit);
    Sector first_record() const;

    BlockQueue& device_;
    Sector at_;
    Sectors half_;
    UuidBytes group_;
    bool blank_ = true;
    std::uint64_t generation_ = 0;  // 0: no valid half
    Header header_;
    Sector tail_{};
    std::uint32_t tail_crc_ = 0;  // of what lies before the tail
    std::optional<Mark> mark_;
    std::int64_t last_change_ = 0;
};

}  // namespace thinvol
