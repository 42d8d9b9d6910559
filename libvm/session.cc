#include "libvm/session.h"

#include <ctime>

namespace thinvol {

Result<Session> Session::open(const Environment& environment) {
    Catalog catalog = TRY(Catalog::open(environment));
    return Session{environment,
                   std::move(catalog),
                   &file_opener(),
                   [] { return static_cast<std::int64_t>(std::time(nullptr)); },
                   {}};
}

}  // namespace thinvol
