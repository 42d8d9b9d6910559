#!/usr/bin/env bash
# fetch_kernel.sh MIRROR SUITE: Debian's 6.12 kernel of that suite, and an initrd that hands over to
# this machine's own root, made once and kept in a cache. Prints the cache's directory, which has
# `vmlinuz` and `initrd`. Without arguments: only prints it, and fails if nothing is there yet.
#   THINVOL_VM_CACHE  where to keep it; below XDG_CACHE_HOME, HOME or /var/tmp unless given
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# What the jobs use (LVM2 wants dm-snapshot for thin snapshots too), and what leads to the root.
modules="9p 9pnet_virtio virtio_pci overlay loop nbd ublk_drv dm-mod dm-thin-pool dm-snapshot"
modules+=" dm-flakey dm-log-writes virtio_blk ext4 xfs"

caches=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}
mkdir -p "$caches" 2>/dev/null && [ -w "$caches" ] || caches=/var/tmp
cache=${THINVOL_VM_CACHE:-$caches/thinvol-vm}
# Whatever makes the initrd another one makes another entry.
ready=$cache/$(cat "$here/guest_init" "$0" | sha256sum | cut -c 1-16)
if [ -e "$ready/initrd" ]; then echo "$ready"; exit; fi
[ $# = 2 ] || { echo "$0: no kernel in $ready; ./run deps vm fetches it" >&2; exit 1; }

mkdir -p "$cache"
tmp=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] $1 $2 main" > "$tmp/sources.list"
mkdir -p "$tmp/lists/partial" "$tmp/debs" "$tmp/kernel" "$tmp/entry"
chmod -R a+rX "$tmp"
options=(-o "Dir::Etc::sourcelist=$tmp/sources.list" -o Dir::Etc::sourceparts=-
  -o "Dir::State::lists=$tmp/lists" -o APT::Sandbox::User=)
apt-get "${options[@]}" update -qq
# The signed image where there is one; the unsigned boots as well.
package=$(apt-cache "${options[@]}" search --names-only \
    '^linux-image-6\.12\.[0-9]+\+deb[0-9]+-amd64(-unsigned)?$' |
  awk '{print $1}' | sort -V | sed -n '$p')
[ -n "$package" ] || { echo "$0: $1 $2 has no 6.12 kernel" >&2; exit 1; }
(cd "$tmp/debs" && { apt-get "${options[@]}" download -qq "${package%-unsigned}" 2>/dev/null ||
  apt-get "${options[@]}" download -qq "$package"; })
dpkg-deb -x "$tmp"/debs/*.deb "$tmp/kernel"
[ -d "$tmp/kernel/lib/modules" ] || ln -s usr/lib "$tmp/kernel/lib"
version=$(basename "$tmp"/kernel/lib/modules/*)
depmod -b "$tmp/kernel" "$version"

root=$tmp/root
mkdir -p "$root"/{bin,proc,sys,dev,modules,lower,changes,new}
cp /bin/busybox "$root/bin/"
cp "$here/guest_init" "$root/init"
number=100
for module in $modules; do
  modprobe -d "$tmp/kernel" -S "$version" --show-depends "$module" | awk '/^insmod/{print $2}'
done | awk '!seen[$0]++' | while read -r file; do
  number=$((number + 1))
  name=$root/modules/$number-$(basename "$file")
  case $file in
    *.xz) xz -dc "$file" > "${name%.xz}" ;;
    *) cp "$file" "$name" ;;
  esac
done
(cd "$root" && find . | cpio -o -H newc 2>/dev/null | gzip -1) > "$tmp/entry/initrd"
cp "$tmp/kernel/boot/vmlinuz-$version" "$tmp/entry/vmlinuz"
mv -T "$tmp/entry" "$ready" 2>/dev/null || [ -e "$ready/initrd" ]  # another process was first
echo "$ready"
