// Goal: a feature is what its word says, wherever the kernel's words go in or out; a status line
// tells the truth about pools that it was not made for. Method: every word, through both ways.
#include "engine/pool_features.h"

#include "engine/kernel_status.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {

TEST_CASE("each feature's word sets that feature, in any case, and is what is shown") {
    struct Row {
        const char* word;
        const char* loud;
        PoolFeatures features;
    };
    const std::vector<Row> rows{
        {"skip_block_zeroing", "SKIP_BLOCK_ZEROING", {.zero_new_blocks = false}},
        {"ignore_discard", "Ignore_Discard", {.discards = Discards::ignore}},
        {"no_discard_passdown", "No_Discard_PassDown", {.discards = Discards::nopassdown}},
        {"read_only", "READ_only", {.read_only = true}},
        {"error_if_no_space", "Error_If_No_Space", {.error_if_no_space = true}},
    };
    PoolFeatures all;
    for (const Row& row : rows) {
        CAPTURE(row.word);
        for (const char* typed : {row.word, row.loud}) {
            PoolFeatures features;
            must(add_feature_word(features, typed));
            CHECK(features == row.features);
        }
        CHECK(feature_words(row.features) == std::vector<std::string>{row.word});
        must(add_feature_word(all, row.word));
    }
    CHECK(feature_words(all) == std::vector<std::string>{"skip_block_zeroing",
                                                         "no_discard_passdown", "read_only",
                                                         "error_if_no_space"});
    CHECK(feature_words({}).empty());
}

TEST_CASE("what is no feature is refused as it was typed, and sets none") {
    for (const char* word : {"", "Read-Only", "read_only ", "queue_if_no_space", "{}[`"}) {
        CAPTURE(word);
        PoolFeatures features;
        const auto refused = add_feature_word(features, word);
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == Errc::invalid_argument);
        CHECK(refused.error().text == "\"" + std::string(word) + "\" is no feature of a pool");
        CHECK(features == PoolFeatures());
    }
}

TEST_CASE("the status line says what is ignored, what is damaged, and when nothing is left") {
    PoolStatus status;
    status.data_size = DataBlocks(10);
    status.metadata_size = MetadataBlocks(160);
    status.metadata_used = MetadataBlocks(160);  // what is kept back is used too
    status.metadata_snapshot = MetadataBlock(33);
    status.needs_check = true;
    status.mode = PoolMode::read_only;
    status.writes_wait_for_space = false;
    CHECK(pool_status_line(status, {.discards = Discards::ignore}) ==
          "0 160/160 0/10 33 ro ignore_discard error_if_no_space needs_check 40");
}

}  // namespace thinvol
