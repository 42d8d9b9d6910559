#include "libvm/autoactivation.h"

namespace thinvol {

Result<bool> autoactivates(Catalog& catalog, std::int64_t lv_id) {
    return TRY(catalog.database().number(
               "SELECT vg.autoactivation AND lv.autoactivation FROM lv JOIN vg ON vg.id = lv.vg_id "
               "WHERE lv.id = ?",
               lv_id)) == 1;
}

Result<> set_autoactivation(Catalog& catalog, std::int64_t lv_id, bool on) {
    return catalog.database().run("UPDATE lv SET autoactivation = ? WHERE id = ?", std::int64_t{on},
                                  lv_id);
}

}  // namespace thinvol
