#!/usr/bin/env bash
# boot.sh [-t SECONDS] [-o DIRECTORY] [-d MIB]... COMMAND...: runs a command as root in a throwaway
# virtual machine with Debian's kernel and this machine's root, read-only underneath. What the
# command leaves in /vm is in DIRECTORY afterwards; nothing else lasts. Each -d is a virtio disk,
# /dev/vda first, kept in this machine's memory where it has /dev/shm. Ends with the command's
# status; 124 if it did not end in time. Needs no rights and no KVM.
#   THINVOL_VM_MEMORY  MiB of the machine; 3072 unless given
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
limit=300 out='' disks=()
while getopts t:o:d: option; do
  case $option in
    t) limit=$OPTARG ;;
    o) out=$OPTARG ;;
    d) disks+=("$OPTARG") ;;
    *) exit 3 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { echo "usage: $0 [-t SECONDS] [-o DIRECTORY] COMMAND..." >&2; exit 3; }
kernel=$("$here/fetch_kernel.sh")
share=$(mktemp -d "${TMPDIR:-/var/tmp}/thinvol-vm.XXXXXX")
memory=/dev/shm
[ -w $memory ] || memory=${TMPDIR:-/var/tmp}
images=$(mktemp -d "$memory/thinvol-vm.XXXXXX")
machine=''
trap '[ -z "$machine" ] || kill "$machine" 2>/dev/null || true; rm -rf "$share" "$images"' EXIT
trap 'exit 130' INT TERM
drives=()
for n in "${!disks[@]}"; do
  truncate -s "${disks[n]}M" "$images/$n"
  drives+=(-drive "file=$images/$n,format=raw,if=virtio,discard=unmap")
done

{
  echo "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root"
  # No udev there: dmsetup makes the nodes.
  echo "export TERM=dumb LC_ALL=C TMPDIR=/run/work DM_DISABLE_UDEV=1"
  [ -z "${THINVOL_BIN:-}" ] || echo "export THINVOL_BIN=${THINVOL_BIN@Q}"
  echo "{ while touch /vm/alive; do sleep 5; done; } & mkdir -p /run/work; cd /run/work"
  printf '%q ' "$@"
  echo
  echo "echo \$? > /vm/status; sync; echo o > /proc/sysrq-trigger; sleep 60"
} > "$share/job"

# A kernel that panics or stalls ends the machine.
on_stall="panic=-1 rcupdate.rcu_cpu_stall_timeout=60 sysctl.kernel.panic_on_rcu_stall=1"

# begin: the machine, as a process; its console goes to stdout, and is kept in $images/said.
begin() {
  mkfifo "$images/console"
  timeout "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 \
    -m "${THINVOL_VM_MEMORY:-3072}" -display none -vga none -serial stdio -monitor none -no-reboot \
    -nic none "${drives[@]}" -kernel "$kernel/vmlinuz" -initrd "$kernel/initrd" \
    -append "console=ttyS0 quiet loglevel=3 mitigations=off tsc=reliable no_timer_check $on_stall" \
    -virtfs "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap" \
    -virtfs "local,path=$share,mount_tag=out,security_model=none" \
    < /dev/null > "$images/console" 2> "$share/qemu" & machine=$!
  sed -u -e 's/\r$//; s/\x1b\[[0-9;?]*[a-zA-Z]//g; /^c$/d' \
    -e '/^\[ *[0-9.]*\] \(sysrq\|reboot\): /d' < "$images/console" | tee "$images/said" & console=$!
}
# attempt: 0 when the command has ended; otherwise why not is in $why.
attempt() {
  touch "$share/alive"
  begin
  why="its kernel was lost"
  while kill -0 "$machine" 2>/dev/null; do
    [ -n "$(find "$share/alive" -mmin -2)" ] || kill "$machine" 2>/dev/null || true
    sleep 0.2
  done
  wait "$machine" || [ $? != 124 ] || why="it did not end in $limit seconds"
  wait "$console" || true
  [ -e "$share/status" ]
}
# leave_nothing: as it was before the attempt.
leave_nothing() {
  rm "$images/console"
  find "$share" -mindepth 1 ! -name job -delete
  for n in "${!disks[@]}"; do
    truncate -s 0 "$images/$n"
    truncate -s "${disks[n]}M" "$images/$n"
  done
}

# Now and then the guest's kernel is lost: it panics as it patches its own code, or (6.12) follows a
# null pointer in io_fallback_tw() when a ublk server is killed with requests in flight, and stalls.
# That says nothing of the command, which gets another machine; the loss is told. Five are too many.
for ((lost = 0; lost < 5; ++lost)); do
  if attempt; then
    status=$(cat "$share/status")
    rm "$share/job" "$share/qemu" "$share/status" "$share/alive"
    [ -z "$out" ] || cp -rT "$share" "$out"
    exit "$status"
  fi
  cat "$share/qemu" >&2
  echo "$0: machine $((lost + 1)) of 5 ended without a result: $why" >&2
  { grep -m 1 -E 'rcu: INFO|Kernel panic|BUG:|Oops' "$images/said" || echo "it said nothing"
    grep -m 1 'RIP: 0010' "$images/said" || true; } | paste -s -d ' ' >&2
  [ "$why" = "its kernel was lost" ] || break
  leave_nothing
done
exit 124
