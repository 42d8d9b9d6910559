// Goal: a limit lets pass what it says and a burst of one second, whatever the clock does between;
// what is larger than that is late, and not impossible; averages are those of the last seconds.
#include <catch2/catch_test_macros.hpp>

#include "libvm/rate_limit.h"
#include "libvm/volume_io.h"

namespace thinvol {

using namespace std::chrono_literals;

namespace {

const RateLimit::Time start{1000h};

// How many units pass until then by who asks again as soon as he may.
std::uint64_t passed_by(RateLimit& limit, RateLimit::Time& now, RateLimit::Time end,
                        std::uint64_t each = 1) {
    std::uint64_t passed = 0;
    while (now < end) {
        if (limit.ready(now)) {
            limit.charge(each);
            passed += each;
        } else {
            REQUIRE(limit.ready_at() > now);
            now = limit.ready_at();
        }
    }
    return passed;
}

}  // namespace

TEST_CASE("without a limit everything passes") {
    RateLimit limit;
    CHECK_FALSE(limit.limited());
    for (int i = 0; i < 1000; ++i) {
        CHECK(limit.ready(start));
        limit.charge(1'000'000);
    }
}

TEST_CASE("one second's worth passes at once, the rest at the rate") {
    for (const std::uint64_t rate : {1UL, 7UL, 1000UL, 1'000'000UL}) {
        CAPTURE(rate);
        RateLimit limit;
        limit.set(rate, start);
        RateLimit::Time now = start;
        const std::uint64_t at_once = passed_by(limit, now, start + 1ns);
        CHECK(at_once == rate);
        CHECK(now > start);
        const std::uint64_t later = passed_by(limit, now, start + 10s);
        CHECK(later <= 10 * rate);
        CHECK(later + 1 >= 10 * rate);
    }
}

TEST_CASE("no more than one second's worth is saved") {
    RateLimit limit;
    limit.set(100, start);
    RateLimit::Time now = start + 3600s;
    CHECK(passed_by(limit, now, now + 1ns) == 100);
}

TEST_CASE("what is larger than a second's worth passes, and the next one pays") {
    RateLimit limit;
    limit.set(1000, start);
    REQUIRE(limit.ready(start));
    limit.charge(6000);
    CHECK_FALSE(limit.ready(start + 4999ms));
    CHECK(limit.ready_at() > start + 5s);
    CHECK(limit.ready_at() < start + 5s + 2ms);
    CHECK(limit.ready(limit.ready_at()));
}

TEST_CASE("a clock that stands still or goes back lets nothing more pass") {
    RateLimit limit;
    limit.set(10, start);
    RateLimit::Time now = start;
    CHECK(passed_by(limit, now, start + 1ns) == 10);
    CHECK_FALSE(limit.ready(start));
    CHECK_FALSE(limit.ready(start - 5s));
    CHECK_FALSE(limit.ready(start));
}

TEST_CASE("a changed limit holds at once, and setting it again is no gift") {
    RateLimit limit;
    limit.set(10, start);
    RateLimit::Time now = start;
    passed_by(limit, now, start + 1ns);
    for (int i = 0; i < 100; ++i) limit.set(10, start);
    CHECK_FALSE(limit.ready(start));
    limit.set(1000, start);
    CHECK_FALSE(limit.ready(start));
    CHECK(limit.ready(start + 2ms));
    limit.set(0, start + 2ms);
    CHECK(limit.ready(start + 2ms));
}

TEST_CASE("rates are those of the last seconds") {
    IoAverage average;
    VolumeIo io;
    IoCounter reads;
    CHECK(average.rates(io, start).read_ios == 0);
    for (int second = 0; second <= 20; ++second) {
        const auto now = start + std::chrono::seconds(second);
        average.sample(io, now);
        for (int i = 0; i < 100; ++i) reads.add(4096);
        io.read = {};
        reads.add_to(io.read);
        if (second < 2) continue;
        const IoRates rates = average.rates(io, now + 1s);
        CHECK(rates.read_ios == 100);
        CHECK(rates.read_bytes == 100 * 4096);
        CHECK(rates.write_ios == 0);
    }
    for (int second = 21; second < 30; ++second)
        average.sample(io, start + std::chrono::seconds(second));
    CHECK(average.rates(io, start + 30s).read_ios == 0);
}

}  // namespace thinvol
