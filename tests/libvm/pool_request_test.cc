// Goal: what one process asks or answers is what the other understands, and whatever else comes
// over the socket is an error, never a crash or a number that nobody sent.
// Method: each request and answer there and back; a list of malformed texts; random damage to good
// ones.
#include "libvm/pool_request.h"

#include <limits>

#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/metadata_fixture.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

using Catch::Matchers::ContainsSubstring;

constexpr std::uint64_t max64 = std::numeric_limits<std::uint64_t>::max();

template <class What>
What there_and_back(What what) {
    const PoolRequest request = must(request_from_json(to_json(PoolRequest{"id-1", what})));
    CHECK(request.id == "id-1");
    REQUIRE(std::holds_alternative<What>(request.what));
    return std::get<What>(request.what);
}

PoolAnswer sample_answer() {
    PoolAnswer answer;
    answer.warnings = {"one", "two \"quoted\"\n\xc3\xa4"};
    answer.names = {"lvol0", "a"};
    answer.mode = "rw";
    answer.trouble = "none";
    answer.needs_check = true;
    answer.transaction_id = max64;
    answer.data_blocks = 1;
    answer.data_used = 2;
    answer.metadata_blocks = 3;
    answer.metadata_used = 4;
    answer.flushes = 5;
    answer.commits = 6;
    answer.pid = 7;
    answer.privileges = "uid=7";
    answer.active = {{8, 9, 10, "nbd+unix:///a?socket=/b"}, {11, 0, 0, ""}};
    answer.writes_wait_for_space = true;
    answer.events = {{13, 14, "data_level", "rw", 80, "why"}};
    answer.bytes_following = 12;
    return answer;
}

void require_refused(const std::string& text) {
    CAPTURE(text.substr(0, 200));
    const auto request = request_from_json(text);
    REQUIRE_FALSE(request.has_value());
    REQUIRE(request.error().code == Errc::invalid_argument);
    REQUIRE_FALSE(request.error().text.empty());
}

}  // namespace

TEST_CASE("each request is understood as it was meant") {
    const auto make = there_and_back(MakeVolumesRequest{
        {{"a", Bytes(max64), 0, true, false}, {"", Bytes(0), 1LL << 62, false, true}}});
    REQUIRE(make.volumes.size() == 2);
    CHECK(make.volumes[0].name == "a");
    CHECK(make.volumes[0].size == Bytes(max64));
    CHECK(make.volumes[0].origin_id == 0);
    CHECK(make.volumes[0].read_only);
    CHECK_FALSE(make.volumes[0].skip_activation);
    CHECK(make.volumes[1].name.empty());
    CHECK(make.volumes[1].origin_id == 1LL << 62);
    CHECK_FALSE(make.volumes[1].read_only);
    CHECK(make.volumes[1].skip_activation);

    const auto remove = there_and_back(RemoveVolumesRequest{{3, 1, 2}, true});
    CHECK(remove.lv_ids == std::vector<std::int64_t>{3, 1, 2});
    CHECK(remove.deactivate);
    CHECK_FALSE(there_and_back(RemoveVolumesRequest{{3}}).deactivate);

    const auto resize = there_and_back(ResizeVolumeRequest{5, Bytes(1ULL << 63)});
    CHECK(resize.lv_id == 5);
    CHECK(resize.size == Bytes(1ULL << 63));

    const auto extend =
        there_and_back(ExtendPoolRequest{Extents(7), Extents(8), {9, 10}, Extents(3), Extents(4)});
    CHECK(extend.data == Extents(7));
    CHECK(extend.metadata == Extents(8));
    CHECK(extend.pv_ids == std::vector<std::int64_t>{9, 10});
    CHECK(extend.data_before == Extents(3));
    CHECK(extend.metadata_before == Extents(4));

    CHECK(there_and_back(ActivateRequest{{1, 2}}).lv_ids == std::vector<std::int64_t>{1, 2});
    CHECK(there_and_back(DeactivateRequest{{4}}).lv_ids == std::vector<std::int64_t>{4});
    CHECK(there_and_back(DeactivateRequest{}).lv_ids.empty());
    there_and_back(StatusRequest{});
    there_and_back(RefreshRequest{});
    there_and_back(PinRequest{});
    CHECK(there_and_back(MovePieceRequest{6}).job_id == 6);
    const auto read = there_and_back(ReadMetadataRequest{max64, 17});
    CHECK(read.first == max64);
    CHECK(read.count == 17);
    const auto open = there_and_back(OpenVolumeRequest{18, true});
    CHECK(open.lv_id == 18);
    CHECK(open.writing);
    for (const IoKind kind : {IoKind::read, IoKind::write, IoKind::write_zeroes, IoKind::discard,
                              IoKind::flush, IoKind::status}) {
        const auto io = there_and_back(VolumeIoRequest{kind, max64, 19});
        CHECK(io.kind == kind);
        CHECK(io.offset == max64);
        CHECK(io.length == 19);
    }
}

TEST_CASE("an answer is understood as it was meant") {
    const PoolAnswer sample = sample_answer();
    const PoolAnswer answer = must(answer_from_json(to_json(Result<PoolAnswer>(sample))));
    CHECK(answer.warnings == sample.warnings);
    CHECK(answer.names == sample.names);
    CHECK(answer.mode == "rw");
    CHECK(answer.trouble == "none");
    CHECK(answer.needs_check);
    CHECK(answer.transaction_id == max64);
    CHECK(answer.data_blocks == 1);
    CHECK(answer.data_used == 2);
    CHECK(answer.metadata_blocks == 3);
    CHECK(answer.metadata_used == 4);
    CHECK(answer.flushes == 5);
    CHECK(answer.commits == 6);
    CHECK(answer.pid == 7);
    REQUIRE(answer.active.size() == 2);
    CHECK(answer.active[0].lv_id == 8);
    CHECK(answer.active[0].clients == 9);
    CHECK(answer.active[0].mapped_blocks == 10);
    CHECK(answer.active[0].uri == "nbd+unix:///a?socket=/b");
    CHECK(answer.active[1].uri.empty());
    CHECK(answer.bytes_following == 12);
    CHECK(answer.writes_wait_for_space);
    CHECK(answer.events == sample.events);
}

TEST_CASE("an error keeps its code and its words over the socket") {
    for (const Errc code :
         {Errc::io_error, Errc::corrupt, Errc::out_of_space, Errc::not_found, Errc::exists,
          Errc::busy, Errc::invalid_argument, Errc::unsupported, Errc::read_only}) {
        const auto back =
            answer_from_json(to_json(Result<PoolAnswer>(Error(code, "why \"so\"\n\xc3\xa4"))));
        REQUIRE_FALSE(back.has_value());
        CHECK(back.error().code == code);
        CHECK(back.error().text == "why \"so\"\n\xc3\xa4");
    }
}

TEST_CASE("an error code of a newer server is an error still") {
    for (const char* code : {"0", "-1", "10", "4711"}) {
        const auto back =
            answer_from_json(std::string(R"({"error":{"text":"words","code":)") + code + "}}");
        REQUIRE_FALSE(back.has_value());
        CHECK(back.error().code == Errc::io_error);
        CHECK(back.error().text == "words");
    }
}

TEST_CASE("paths and names that are no UTF-8 do not end the process that speaks of them") {
    const std::string latin = "/pv\xe4\xff";
    const auto error = answer_from_json(to_json(Result<PoolAnswer>(Error(Errc::busy, latin))));
    REQUIRE_FALSE(error.has_value());
    CHECK(error.error().code == Errc::busy);
    CHECK_THAT(error.error().text, ContainsSubstring("/pv"));

    PoolAnswer answer;
    answer.warnings = {latin};
    answer.trouble = latin;
    answer.active = {{1, 0, 0, latin}};
    answer.transaction_id = 42;
    std::string text;
    REQUIRE_NOTHROW(text = to_json(Result<PoolAnswer>(answer)));
    const PoolAnswer back = must(answer_from_json(text));
    CHECK(back.transaction_id == 42);
    CHECK_THAT(back.trouble, ContainsSubstring("/pv"));
}

TEST_CASE("text that is no request is refused") {
    for (const char* text :
         {"",
          " ",
          "{",
          "}",
          "null",
          "true",
          "1",
          "\"status\"",
          "[]",
          "{}",
          "[1,2,3]",
          R"({"id":"a"})",
          R"({"id":"a","do":"status"})",
          R"({"do":"status","with":{}})",
          R"({"id":1,"do":"status","with":{}})",
          R"({"id":null,"do":"status","with":{}})",
          R"({"id":"a","do":7,"with":{}})",
          R"({"id":"a","do":"","with":{}})",
          R"({"id":"a","do":"reboot","with":{}})",
          R"({"id":"a","do":"STATUS","with":{}})",
          R"({"id":"a","do":"activate","with":{}})",
          R"({"id":"a","do":"activate","with":[]})",
          R"({"id":"a","do":"activate","with":null})",
          R"({"id":"a","do":"activate","with":{"lv_ids":7}})",
          R"({"id":"a","do":"activate","with":{"lv_ids":"7"}})",
          R"({"id":"a","do":"activate","with":{"lv_ids":{"0":7}}})",
          R"({"id":"a","do":"activate","with":{"lv_ids":["7"]}})",
          R"({"id":"a","do":"activate","with":{"lv_ids":[null]}})",
          R"({"id":"a","do":"activate","with":{"lv_ids":[[7]]}})",
          R"({"id":"a","do":"remove_volumes","with":{"lv_ids":[1]}})",
          R"({"id":"a","do":"remove_volumes","with":{"lv_ids":[1],"deactivate":"yes"}})",
          R"({"id":"a","do":"remove_volumes","with":{"lv_ids":[1],"deactivate":1}})",
          R"({"id":"a","do":"resize_volume","with":{"lv_id":1}})",
          R"({"id":"a","do":"resize_volume","with":{"lv_id":1,"size":"1g"}})",
          R"({"id":"a","do":"make_volumes","with":{"volumes":[{"name":"x"}]}})",
          R"({"id":"a","do":"make_volumes","with":{"volumes":{}}})",
          R"({"id":"a","do":"extend_pool","with":{"data":{},"metadata":0,"pv_ids":[]}})",
          R"({"id":"a","do":"read_metadata","with":{"first":0}})",
          R"({"id":"a","do":"volume_io","with":{"kind":"erase","offset":0,"length":1}})",
          R"({"id":"a","do":"volume_io","with":{"kind":0,"offset":0,"length":1}})",
          R"({"id":"a","do":"status","with":{}} x)",
          R"({"id":"a","do":"status","with":{}}{})",
          "{\"id\":\"\xff\",\"do\":\"status\",\"with\":{}}"}) {
        require_refused(text);
    }
}

TEST_CASE("a number that is no count is refused, not turned into another") {
    for (const char* number :
         {"-1", "-9223372036854775808", "1.5", "1e300", "-1e300", "18446744073709551616"}) {
        CAPTURE(number);
        const std::string n = number;
        require_refused(R"({"id":"a","do":"resize_volume","with":{"lv_id":1,"size":)" + n + "}}");
        require_refused(R"({"id":"a","do":"read_metadata","with":{"first":0,"count":)" + n + "}}");
        require_refused(R"({"id":"a","do":"extend_pool","with":{"metadata":0,"pv_ids":[],"data":)" +
                        n + "}}");
    }
}

TEST_CASE("a number that is no id is refused, not turned into another's id") {
    for (const char* number : {"1.5", "1e300", "-1.5"}) {
        CAPTURE(number);
        require_refused(std::string(R"({"id":"a","do":"activate","with":{"lv_ids":[)") + number +
                        "]}}");
    }
}

TEST_CASE("text nested deeper than any stack is refused") {
    constexpr std::size_t depth = 1 << 17;
    require_refused(std::string(depth, '['));
    require_refused(std::string(depth, '[') + std::string(depth, ']'));
    const std::string head = R"({"id":"a","do":"activate","with":)";
    require_refused(head + std::string(depth, '[') + std::string(depth, ']') + "}");
    std::string objects;
    for (std::size_t i = 0; i < depth; ++i) objects += "{\"a\":";
    require_refused(objects);
    CHECK(answer_from_json(std::string(depth, '[')).error().code == Errc::invalid_argument);
}

TEST_CASE("text that is no answer is refused") {
    for (const char* text : {"", "{", "null", "[]", "{}", "7", R"({"answer":{}})",
                             R"({"answer":null})", R"({"answer":{"warnings":7}})",
                             R"({"error":null})", R"({"error":{}})", R"({"error":{"code":1}})",
                             R"({"error":{"text":"x"}})", R"({"error":{"code":"1","text":"x"}})",
                             R"({"error":{"code":1,"text":7}})", R"({"error":[1,"x"]})"}) {
        CAPTURE(text);
        const auto answer = answer_from_json(text);
        REQUIRE_FALSE(answer.has_value());
        CHECK(answer.error().code == Errc::invalid_argument);
        CHECK_THAT(answer.error().text, ContainsSubstring("answer not understood"));
    }
}

TEST_CASE("an answer without one of its fields, or with a wrong one, is refused") {
    const auto good = nlohmann::json::parse(to_json(Result<PoolAnswer>(sample_answer())));
    REQUIRE(good.at("answer").size() == 19);
    for (const auto& [name, value] : good.at("answer").items()) {
        CAPTURE(name);
        auto without = good;
        without["answer"].erase(name);
        const auto answer = answer_from_json(without.dump());
        // Of a server that was started before it told this.
        if (name == "privileges") CHECK((answer && answer->privileges.empty()));
        else CHECK(answer.error().code == Errc::invalid_argument);
        auto wrong = good;
        wrong["answer"][name] = nlohmann::json::object();
        CHECK(answer_from_json(wrong.dump()).error().code == Errc::invalid_argument);
    }
}

TEST_CASE("no damage to a request or an answer gets past as an exception") {
    const std::string texts[] = {
        to_json(PoolRequest{"id", MakeVolumesRequest{{{"a", Bytes(1), 2, true, false}}}}),
        to_json(PoolRequest{
            "id", ExtendPoolRequest{Extents(1), Extents(2), {3, 4}, Extents(5), Extents(6)}}),
        to_json(Result<PoolAnswer>(sample_answer())),
        to_json(Result<PoolAnswer>(Error(Errc::busy, "words"))),
    };
    for (const std::string& text : texts) {
        for (std::size_t n = 0; n < text.size(); ++n) {
            CHECK_FALSE(request_from_json(text.substr(0, n)).has_value());
            CHECK_FALSE(answer_from_json(text.substr(0, n)).has_value());
        }
    }
    constexpr std::string_view spice = "[]{}\",:-0e.\\tfn\xff ";
    for (const std::uint64_t seed : test_seeds(2000)) {
        CAPTURE(seed);
        Random random(seed);
        std::string text = texts[random.below(std::size(texts))];
        for (std::uint64_t i = 1 + random.below(3); i > 0; --i)
            text[random.below(text.size())] = spice[random.below(spice.size())];
        REQUIRE_NOTHROW(request_from_json(text).has_value());
        REQUIRE_NOTHROW(answer_from_json(text).has_value());
    }
}

}  // namespace thinvol
