#include "libvm/session.h"

#include <ctime>

namespace thinvol {

Result<Session> Session::open(const Environment& environment) {
    return Session{environment, TRY(Catalog::open(environment)), &file_opener(),
                   [] { return static_cast<std::int64_t>(std::time(nullptr)); }};
}

}  // namespace thinvol
