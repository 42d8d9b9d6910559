#!/usr/bin/env bash
# Goal: the units are right, and do what they say: at boot what has autoactivation is activated, a
# server that dies comes back with its volumes, and the last deactivation ends it for good.
. "$(dirname "$0")/lib.sh"
units=$THINVOL_BIN/../systemd

# Judged by systemd itself, with the programs where they were built.
if command -v systemd-analyze >/dev/null; then
  for manager in system user; do
    mkdir "$manager"
    for unit in thinvol.service thinvol-pool@.service; do
      sed "s|^\(Exec[A-Za-z]*=\)[^ ]*/|\1$THINVOL_BIN/|" "$units/$manager/$unit" > "$manager/$unit"
    done
    cp "$manager/thinvol-pool@.service" "$manager/thinvol-pool@x.service"
    scope=(); [ $manager = system ] || scope=(--user)
    for unit in thinvol.service thinvol-pool@x.service; do
      XDG_RUNTIME_DIR=$work systemd-analyze verify "${scope[@]}" "$manager/$unit" 2>err ||
        fail "systemd-analyze verify $manager/$unit: $(cat err)"
      if grep -q "thinvol" err; then fail "$manager/$unit: $(cat err)"; fi
    done
  done
  # A line of /etc/fstab as the README has it: mounted behind the volumes, unmounted before them.
  generator=/usr/lib/systemd/system-generators/systemd-fstab-generator
  echo "/dev/thinvol/vg0/root /srv/root ext4 _netdev,x-systemd.requires=thinvol.service 0 2" > fstab
  SYSTEMD_FSTAB=$work/fstab SYSTEMD_PROC_CMDLINE="" $generator system system system
  grep -q '^After=thinvol.service$' system/srv-root.mount || fail "$(cat system/srv-root.mount)"
  grep -q '^Requires=thinvol.service$' system/srv-root.mount || fail "$(cat system/srv-root.mount)"
  systemd-analyze verify system/thinvol.service system/srv-root.mount 2>err || fail "$(cat err)"
  if grep -qE "cycle|thinvol" err; then fail "with fstab: $(cat err)"; fi
else
  echo "systemd.sh: NOT TRIED: no systemd-analyze to verify the units"
fi

# In the place of systemd, which tests have not: Type=notify and Restart=on-failure.
mkdir bin
cat > bin/systemctl <<'PY'
#!/usr/bin/python3
import os, re, socket, subprocess, sys, time
manager, verb, unit = sys.argv[1:]
assert manager in ("--system", "--user") and verb == "start", sys.argv
name = re.fullmatch(r"thinvol-pool@([0-9a-f]+)\.service", unit)[1]
text = open(f"{os.environ['UNITS']}/{manager[2:]}/thinvol-pool@.service").read()
assert "Type=notify\n" in text and "Restart=on-failure\n" in text
words = re.search(r"^ExecStart=\S*/(thinvold .*)$", text, re.M)[1].replace("%i", name).split()
path = f"{os.environ['THINVOL_RUN_DIR']}/notify"
if os.path.exists(path):
    os.unlink(path)
ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
ready.bind(path)
if os.fork() == 0:
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    while subprocess.run(words, env={**os.environ, "NOTIFY_SOCKET": path}).returncode != 0:
        time.sleep(0.1)
    os._exit(0)
ready.settimeout(20)
assert ready.recv(100) == b"READY=1"
PY
chmod +x bin/systemctl
export PATH=$work/bin:$PATH UNITS=$units
await() {
  for _ in $(seq 200); do "$@" 2>/dev/null && return 0; sleep 0.05; done
  fail "never: $*"
}

truncate -s 256M pv.img other.img
tvgcreate vg0 pv.img >/dev/null
tvgcreate vg1 other.img >/dev/null
tvcreate -L 64m -V 16m -T vg0/pool0 -n a >/dev/null
for name in b c skipped; do tvcreate -V 16m -T vg0/pool0 -n $name >/dev/null; done
tvcreate -L 64m -V 16m -T vg1/pool0 -n d >/dev/null
says changed tvchange --setautoactivation n vg0/c
says changed tvchange -ky vg0/skipped
fails 3 'Please give' tvchange -aay
fails 3 'not both' tvchange -aay --all vg0
boot() { tvchange -aay --all --config activation.systemd=true; }
active() { tvs --noheadings -o lv_name,lv_active | awk '$2 == "active" {print $1}' | xargs; }
boot
[ "$(active)" = 'a b pool0 d pool0' ] || fail "activated were: $(active)"
boot
[ "$(active)" = 'a b pool0 d pool0' ]

# It dies; it comes back by itself, with what it exported, and with what was written.
head -c 4M /dev/urandom > payload
nbdcopy --flush payload "$(uri vg0/b)"
tvchange -an vg0/a
kill -9 "$(field server_pid vg0/b)"
await eval '[ "$(active)" = "b pool0 d pool0" ]'
head_of "$(uri vg0/b)" $((4 << 20)) | same - payload
judge vg0/pool0

# Shutdown: everything ends, and nothing comes back.
tvchange -an --all
[ -z "$(active)" ]
sleep 0.5
[ -z "$(active)" ]
left=$(find "$THINVOL_RUN_DIR" -name '*.active' -o -name '*.ctl' -o -name '*.nbd')
[ -z "$left" ] || fail "left over: $left"
boot
kill -TERM "$(field server_pid vg0/b)"
await eval '[ "$(active)" = "d pool0" ]'
tvchange -an --all

# systemd that cannot start it is an error with a way out, and not for ever.
printf '#!/bin/sh\nexit 4\n' > bin/systemctl
fails 5 'systemctl --(system|user) start thinvol-pool@.* failed .*activation.systemd to false' \
  tvchange -ay vg0/a --config activation.systemd=true
tvchange -ay vg0/a
tvchange -an vg0/a
