// Goal: what a report prints as URI is one that NBD clients understand, whatever the names are.
// Method: a table of names and sockets.
#include "libvm/uri.h"

#include "tests/support/metadata_fixture.h"

namespace thinvol {

TEST_CASE("an export's URI names the export and the socket") {
    const struct {
        const char* name;
        const char* socket;
        const char* uri;
    } cases[] = {
        {"root", "/run/thinvol/ab.nbd", "nbd+unix:///root?socket=/run/thinvol/ab.nbd"},
        {"", "/s", "nbd+unix:///?socket=/s"},
        {"Root.2026-05_1~", "/s", "nbd+unix:///Root.2026-05_1~?socket=/s"},
        {"a+b", "/s", "nbd+unix:///a%2Bb?socket=/s"},
        {"a b", "/s p/x&y=z", "nbd+unix:///a%20b?socket=/s%20p/x%26y%3Dz"},
        {"50%", "/a?b#c", "nbd+unix:///50%25?socket=/a%3Fb%23c"},
        {"\xc3\xa4", "/\xff", "nbd+unix:///%C3%A4?socket=/%FF"},
    };
    for (const auto& c : cases) {
        CAPTURE(c.name, c.socket);
        CHECK(nbd_uri(c.name, c.socket) == c.uri);
    }
}

}  // namespace thinvol
