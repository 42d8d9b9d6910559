// Goal: identities survive being written and read, and nothing else passes for one.
// Method: round trips of many; a table of texts that are none.
#include "libvm/uuid.h"

#include <set>

#include "tests/support/metadata_fixture.h"

namespace thinvol {

TEST_CASE("new identities are 32 lower-case hexadecimal digits and all different") {
    std::set<std::string> seen;
    for (int i = 0; i < 1000; ++i) {
        const std::string uuid = new_uuid();
        REQUIRE(uuid.size() == 32);
        REQUIRE(uuid.find_first_not_of("0123456789abcdef") == std::string::npos);
        REQUIRE(seen.insert(uuid).second);
        const auto bytes = uuid_bytes(uuid);
        REQUIRE(bytes.has_value());
        REQUIRE(uuid_text(*bytes) == uuid);
    }
}

TEST_CASE("the digits of an identity are its bytes, first digit high") {
    const auto bytes = uuid_bytes("000102030405060708090a0b0c0d0eff");
    REQUIRE(bytes.has_value());
    for (std::size_t i = 0; i < 15; ++i) CHECK((*bytes)[i] == std::byte(i));
    CHECK((*bytes)[15] == std::byte(255));
}

TEST_CASE("anything but 32 lower-case hexadecimal digits is no identity") {
    const std::string good = "0123456789abcdef0123456789abcdef";
    REQUIRE(uuid_bytes(good).has_value());
    for (const std::string& text :
         {std::string(), good.substr(1), good + "0", "g" + good.substr(1), good.substr(1) + " ",
          "A" + good.substr(1), good.substr(0, 31) + std::string(1, '\0'),
          std::string("012345-6789-abcd-ef01-2345-6789-a")}) {
        CAPTURE(text);
        CHECK_FALSE(uuid_bytes(text).has_value());
    }
}

TEST_CASE("reports show identities in LVM's groups of 6-4-4-4-4-4-6") {
    CHECK(grouped_uuid("0123456789abcdefghijklmnopqrstuv") ==
          "012345-6789-abcd-efgh-ijkl-mnop-qrstuv");
}

}  // namespace thinvol
