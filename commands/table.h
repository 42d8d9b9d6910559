// table: all commands.
//
// Units       none
// Invariants  sorted by name
// Errors      none
// Threads     any; constants
// Source      none
#pragma once

#include <span>
#include <string_view>

#include "commands/command_spec.h"

namespace thinvol {

extern const CommandSpec complete_command;
extern const CommandSpec config_command;
extern const CommandSpec events_command;
extern const CommandSpec help_command;
extern const CommandSpec man_command;
extern const CommandSpec pool_command;
extern const CommandSpec tvchange;
extern const CommandSpec tvcheck;
extern const CommandSpec tvconvert;
extern const CommandSpec tvcreate;
extern const CommandSpec tvdelta;
extern const CommandSpec tvdisplay;
extern const CommandSpec tvdmtable;
extern const CommandSpec tvdump;
extern const CommandSpec tvexport;
extern const CommandSpec tvextend;
extern const CommandSpec tvgcfgbackup;
extern const CommandSpec tvgcfgrestore;
extern const CommandSpec tvgchange;
extern const CommandSpec tvgck;
extern const CommandSpec tvgcreate;
extern const CommandSpec tvgdisplay;
extern const CommandSpec tvgexport;
extern const CommandSpec tvgextend;
extern const CommandSpec tvgimport;
extern const CommandSpec tvgreconcile;
extern const CommandSpec tvgreduce;
extern const CommandSpec tvgremove;
extern const CommandSpec tvgrename;
extern const CommandSpec tvgs;
extern const CommandSpec tvgscan;
extern const CommandSpec tvimport;
extern const CommandSpec tvls;
extern const CommandSpec tvmetadatapack;
extern const CommandSpec tvmetadatasize;
extern const CommandSpec tvmetadataunpack;
extern const CommandSpec tvpvchange;
extern const CommandSpec tvpvcreate;
extern const CommandSpec tvpvdisplay;
extern const CommandSpec tvpvmove;
extern const CommandSpec tvpvremove;
extern const CommandSpec tvpvresize;
extern const CommandSpec tvpvs;
extern const CommandSpec tvreduce;
extern const CommandSpec tvremove;
extern const CommandSpec tvrename;
extern const CommandSpec tvrepair;
extern const CommandSpec tvresize;
extern const CommandSpec tvrestore;
extern const CommandSpec tvrmap;
extern const CommandSpec tvs;
extern const CommandSpec tvscan;
extern const CommandSpec tvsnapshot;
extern const CommandSpec tvtrim;
extern const CommandSpec version_command;

std::span<const CommandSpec* const> all_commands();
const CommandSpec* find_command(std::string_view name);

}  // namespace thinvol
