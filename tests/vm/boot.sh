#!/usr/bin/env bash
# boot.sh [-t SECONDS] [-o DIRECTORY] COMMAND...: runs a command as root in a throwaway virtual
# machine with Debian's kernel and this machine's root, read-only underneath. What the command
# leaves in /vm is in DIRECTORY afterwards; nothing else lasts. Ends with the command's status;
# 124 if it did not end in time. Needs no rights and no KVM.
#   THINVOL_VM_MEMORY  MiB of the machine; 3072 unless given
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
limit=300 out=
while getopts t:o: option; do
  case $option in
    t) limit=$OPTARG ;;
    o) out=$OPTARG ;;
    *) exit 3 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { echo "usage: $0 [-t SECONDS] [-o DIRECTORY] COMMAND..." >&2; exit 3; }
kernel=$("$here/fetch_kernel.sh")
share=$(mktemp -d "${TMPDIR:-/var/tmp}/thinvol-vm.XXXXXX")
trap 'rm -rf "$share"' EXIT

{
  echo "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root"
  # No udev there: dmsetup makes the nodes.
  echo "export TERM=dumb LC_ALL=C TMPDIR=/run/work DM_DISABLE_UDEV=1"
  [ -z "${THINVOL_BIN:-}" ] || echo "export THINVOL_BIN=${THINVOL_BIN@Q}"
  echo "mkdir -p /run/work; cd /run/work"
  printf '%q ' "$@"
  echo
  echo "echo \$? > /vm/status; sync; echo o > /proc/sysrq-trigger; sleep 60"
} > "$share/job"

ended=0
timeout "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 \
  -m "${THINVOL_VM_MEMORY:-3072}" -display none -vga none -serial stdio -monitor none -no-reboot \
  -nic none -kernel "$kernel/vmlinuz" -initrd "$kernel/initrd" \
  -append "console=ttyS0 panic=-1 quiet loglevel=3 mitigations=off tsc=reliable" \
  -virtfs "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap" \
  -virtfs "local,path=$share,mount_tag=out,security_model=none" \
  < /dev/null 2> "$share/qemu" |
  sed -u -e 's/\r$//; s/\x1b\[[0-9;?]*[a-zA-Z]//g; /^c$/d' \
    -e '/^\[ *[0-9.]*\] \(sysrq\|reboot\): /d' || ended=$?
if [ -e "$share/status" ]; then
  status=$(cat "$share/status")
  rm "$share/job" "$share/qemu" "$share/status"
  [ -z "$out" ] || cp -rT "$share" "$out"
  exit "$status"
fi
cat "$share/qemu" >&2
echo "$0: the machine ended without a result ($ended; it had $limit seconds)" >&2
exit 124
