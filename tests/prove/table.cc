// The rows that are code of this program, with their minimums.
#include "tests/prove/rows.h"

namespace thinvol {

std::span<const ProofRow> proof_rows() {
    static constexpr ProofRow rows[] = {
        {"S1", "power cut at any device write", 3000, 120000, power_cuts_anywhere},
        {"S2", "torn writes", 2000, 30000, torn_writes},
        {"S3", "power cut in a recovery", 2000, 20000, power_cuts_in_recovery},
        {"S4", "data and metadata devices lose power apart", 1200, 20000,
         power_cuts_across_devices},
        {"S5", "flushed and FUA writes survive", 1200, 20000, promised_writes_survive},
        {"S5k", "what devices answered survives a kill", 1200, 20000, answered_writes_outlive},
        {"S6", "all orders of the writes of an epoch", 2000, 30000, reorderings_of_epochs},
        {"S7", "all workloads of one and two operations", 2000, 90000, all_short_workloads},
        {"S8", "no stale and no foreign data", 1200, 10000, nothing_stale_is_shown},
        {"S11", "each request fails once", 2000, 60000, each_request_fails_once},
        {"S12", "all requests fail from one on", 1000, 30000, requests_fail_from_one_on},
        {"S13", "a failed flush is never forgiven", 200, 5000, failed_flushes_stay_failed},
        {"S14", "a lying device is noticed, or the lie is a listed one", 400, 10000,
         lies_are_noticed_or_listed},
        {"S15", "short, interrupted and failed transfers of files", 300, 5000,
         short_transfers_go_on},
        {"S16", "data space ends at each allocation", 300, 12000, data_space_ends_anywhere},
        {"S17", "metadata space ends at each allocation", 300, 12000, metadata_space_ends_anywhere},
        {"S18", "the file system below is full", 200, 3000, host_file_system_is_full},
        {"S19", "what is freed in a full pool is space", 100, 2000, freed_space_is_space},
        {"S22", "a writer is faster than who extends", 90, 3000, extender_races_writer},
        {"S23", "each flipped bit of metadata in use is found", 5000, 500000,
         flipped_bits_are_found, "100%"},
        {"S24", "forged metadata with right checksums do no harm", 2000, 2000000,
         forged_metadata_do_no_harm},
        {"S27", "check and repair change nothing, twice is once", 200, 5000,
         judging_changes_nothing},
        {"S28", "an image cut off anywhere is refused", 320, 3200, cut_off_images_are_refused},
        {"S32", "a pool opened, read and closed has the same bytes", 300, 3000,
         opening_changes_nothing},
        {"S33", "power cut at any step of any command", 800, 6000, commands_are_whole, "0", false},
        {"S33c", "a command killed at any system call", 40, 150, commands_survive_kills, "0",
         false},
        {"S33s", "a server killed at any system call", 30, 100, servers_survive_kills, "0", false},
        {"S34", "each call of the catalog's files fails, or lies", 400, 10000, catalog_files_fail},
        {"S35", "SIGINT and SIGTERM at any system call", 20, 60, commands_survive_signals, "0",
         false},
        {"S46", "snapshots under load are one instant", 1600, 10000, snapshots_are_instants},
        {"S47", "26 pairs of acts, all orders with 2 pre-emptions", 1500, 60000,
         pairs_in_all_orders},
        {"S48", "32 clients with 8 requests each, devices that tarry", 80000, 1200000,
         everybody_gets_on, "0", false},
    };
    return rows;
}

}  // namespace thinvol
