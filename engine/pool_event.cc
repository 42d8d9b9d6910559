#include "engine/pool_event.h"

namespace thinvol {

const char* name_of(PoolMode mode) {
    switch (mode) {
        case PoolMode::write: return "rw";
        case PoolMode::out_of_data_space: return "out_of_data_space";
        case PoolMode::out_of_metadata_space: return "out_of_metadata_space";
        case PoolMode::read_only: return "ro";
        case PoolMode::failed: return "failed";
    }
    return "failed";
}

const char* name_of(PoolEvent::Kind kind) {
    switch (kind) {
        case PoolEvent::Kind::mode: return "mode";
        case PoolEvent::Kind::no_space_timeout: return "no_space_timeout";
        case PoolEvent::Kind::data_low_water: return "data_low_water";
        case PoolEvent::Kind::metadata_low_water: return "metadata_low_water";
        case PoolEvent::Kind::data_level: return "data_level";
        case PoolEvent::Kind::metadata_level: return "metadata_level";
    }
    return "mode";
}

}  // namespace thinvol
