#!/usr/bin/env bash
# Goal: in a real bash, TAB offers what fits, from the catalog, without a lock or a server.
. "$(dirname "$0")/lib.sh"

truncate -s 512M pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 64m -T vg0/pool0 >/dev/null
for v in root var; do tvcreate -V 64m -T vg0/pool0 -n $v >/dev/null 2>&1; done

# shellcheck source=/dev/null
. "$THINVOL_BIN/../completions/thinvol.bash"
compopt() { :; }   # outside of a completion it only complains
# offers LINE EXPECTED: what TAB at the end of the line offers.
offers() {
  local line=$1 expected=$2
  read -ra COMP_WORDS <<< "$line"
  [[ $line == *' ' ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMP_LINE=$line
  _thinvol
  [ "${COMPREPLY[*]}" = "$expected" ] || fail "'$line' offers '${COMPREPLY[*]}', not '$expected'"
}
offers 'tvsnapshot ' 'vg0/'
offers 'tvsnapshot vg0/' 'vg0/root vg0/var'
offers 'tvsnapshot vg0/r' 'vg0/root'
offers 'tvcheck vg0/' 'vg0/pool0'
offers 'tvextend vg0/' 'vg0/pool0 vg0/root vg0/var'
offers 'tvgs ' 'vg0'
offers 'tvs -o +uri,thin_i' '+uri,thin_id'
offers 'tvs --reportformat js' 'json json_std'
offers 'tvs --reportf' '--reportformat'
offers 'tvcreate -L 10' '10g 10k 10m 10t'
offers 'tvchange -a ' 'ay n y'
offers 'tvgreduce vg0 ' "$work/pv.img"
offers 'thinvol tvgr' 'tvgreconcile tvgreduce tvgremove tvgrename'
offers 'thinvol tvsnapshot vg0/v' 'vg0/var'
offers 'tvsnapshot --name=' ''
offers 'tvs --units k --uni' ''
# Every command is completed.
for c in "$THINVOL_BIN"/tv*; do
  complete -p "$(basename "$c")" >/dev/null || fail "$(basename "$c") is not completed"
done
# Without a catalog, or with a damaged one, it is silent.
(THINVOL_STATE_DIR=$work/none offers 'tvsnapshot ' '')
rm "$THINVOL_STATE_DIR/catalog.db-wal"; echo garbage > "$THINVOL_STATE_DIR/catalog.db"
offers 'tvsnapshot ' ''
