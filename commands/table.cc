#include "commands/table.h"

#include <algorithm>

namespace thinvol {
namespace {

constexpr const CommandSpec* commands[] = {
    &complete_command,
    &config_command,
    &events_command,
    &help_command,
    &man_command,
    &pool_command,
    &tvchange,
    &tvcheck,
    &tvconvert,
    &tvcreate,
    &tvdelta,
    &tvdisplay,
    &tvdmtable,
    &tvdump,
    &tvexport,
    &tvextend,
    &tvgcfgbackup,
    &tvgcfgrestore,
    &tvgchange,
    &tvgck,
    &tvgcreate,
    &tvgdisplay,
    &tvgexport,
    &tvgextend,
    &tvgimport,
    &tvgreconcile,
    &tvgreduce,
    &tvgremove,
    &tvgrename,
    &tvgs,
    &tvgscan,
    &tvimport,
    &tvls,
    &tvmetadatapack,
    &tvmetadatasize,
    &tvmetadataunpack,
    &tvpvchange,
    &tvpvcreate,
    &tvpvdisplay,
    &tvpvmove,
    &tvpvremove,
    &tvpvresize,
    &tvpvs,
    &tvreduce,
    &tvremove,
    &tvrename,
    &tvrepair,
    &tvresize,
    &tvrestore,
    &tvrmap,
    &tvs,
    &tvscan,
    &tvsnapshot,
    &tvtrim,
    &version_command,
};

}  // namespace

std::span<const CommandSpec* const> all_commands() { return commands; }

const CommandSpec* find_command(std::string_view name) {
    const auto it = std::find_if(std::begin(commands), std::end(commands),
                                 [&](const CommandSpec* c) { return c->name == name; });
    return it == std::end(commands) ? nullptr : *it;
}

}  // namespace thinvol
