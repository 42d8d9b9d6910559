#include "libvm/nbd_policy.h"

#include "libvm/config.h"

namespace thinvol {

Result<NbdPolicy> NbdPolicy::load(Session& session, const ThinRow& volume) {
    const Config config = TRY(Config::load(session, volume.lv.vg_id, volume.pool_id, volume.lv.id));
    NbdPolicy policy;
    policy.access = TRY(NbdAccess::parse(config.word("nbd.access")));
    policy.iops_max = static_cast<std::uint64_t>(config.number("nbd.iops_maximum"));
    policy.bandwidth_max = config.size("nbd.bandwidth_maximum").n;
    return policy;
}

}  // namespace thinvol
