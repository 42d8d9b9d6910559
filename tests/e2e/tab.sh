#!/usr/bin/env bash
# Goal: TAB in a real bash, zsh and fish completes what fits, in the same way.
# Method: each shell in a terminal of its own; what it makes of its command line, or shows, is read.
. "$(dirname "$0")/lib.sh"

truncate -s 512M pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 64m -T vg0/pool0 >/dev/null
for v in root var; do tvcreate -V 64m -T vg0/pool0 -n $v >/dev/null 2>&1; done
tvsnapshot -n snap vg0/root >/dev/null

python3 - "$THINVOL_STATE_DIR/catalog.db" <<'SQL'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("INSERT INTO tag(vg_id, lv_id, tag) SELECT vg_id, id, 'nightly' FROM thin")
db.commit()
SQL

cat >cases <<'CASES'
tvsnapsh| => tvsnapshot |
tvsnapshot | => tvsnapshot vg0/|
tvsnapshot vg0/r| => tvsnapshot vg0/root |
tvcheck vg0/| => tvcheck vg0/pool0 |
tvgremove | => tvgremove vg0 |
tvremove vg0/root vg0/r| => tvremove vg0/root vg0/r|
thinvol tvsnapshot vg0/v| => thinvol tvsnapshot vg0/var |
tvs --reportf| => tvs --reportformat |
tvs --reportformat b| => tvs --reportformat basic |
tvs --reportformat=b| => tvs --reportformat=basic |
tvs -o +uri,thin_i| => tvs -o +uri,thin_id|
tvs @| => tvs @nightly |
tvs @nig| => tvs @nightly |
tvs --select=lv_permi| => tvs --select=lv_permissions|
tvs -S "lv_size>1g && lv_permi| => tvs -S "lv_size>1g && lv_permissions|
tvs -S 'lv_permissions=w| => tvs -S 'lv_permissions=writeable|
tvchange -an vg0/| => tvchange -an vg0/|
tvrename vg0/root | => tvrename vg0/root |
tvextend -L 10| => ? 10g 10k 10m 10t
tvs -o +thin_| => ? thin_count thin_id ! +lv_name
tvsnapshot vg0/| => ? root snap var ! pool0
tvextend vg0/| => ? pool0 root snap var
tvchange --discards | => ? ignore nopassdown passdown
CASES
for shell in bash zsh fish; do
  mkdir $shell
  python3 "$here/../support/press_tab.py" $shell "$THINVOL_BIN/../completions" "$work/$shell" <cases
done
