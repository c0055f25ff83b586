#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs what is needed, builds bmaptool, and does its main job on real input: an image made of files
# of this machine is mapped, compressed, flashed to a loop device, verified and compared.
#   --no-install, --no-build    both were done already
# QUICK_START_IMAGE_MIB, QUICK_START_FILES_MIB: size of the image and of the files in it (3072, 512)
# QUICK_START_TMP: where to work (needs about the image's size twice, sparse)
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build
bmaptool=$build/src/cli/bmaptool
size_mib=${QUICK_START_IMAGE_MIB:-3072}
files_mib=${QUICK_START_FILES_MIB:-512}

install=yes compile=yes
for arg in "$@"; do
	case $arg in
	--no-install) install=no ;;
	--no-build) compile=no ;;
	*)
		sed -n '3,8s/^# \{0,1\}//p' "$0"
		exit 2
		;;
	esac
done

work='' device=''
cleanup()
{
	local code=$?
	trap - EXIT
	trap '' INT TERM
	[ -z "$device" ] || losetup -d "$device" 2>/dev/null || true
	[ -z "$work" ] || rm -rf "$work"
	exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say()
{
	printf '\n== %s\n' "$*"
}

# Runs a command, shows it, notes how long it took under a title.
timings=()
timed()
{
	local title=$1 begun=$EPOCHREALTIME
	shift
	printf '$ %s\n' "$*"
	"$@" </dev/null
	timings+=("$(awk -v a="$begun" -v b="$EPOCHREALTIME" -v t="$title" \
		'BEGIN { printf "%-34s %6.2f s", t, b - a }')")
}

if [ $install = yes ]; then
	say "Packages"
	"$top/tools/setup-debian.sh" build demo
fi
if [ $compile = yes ]; then
	say "Building in $build"
	[ -f "$build/build.ninja" ] ||
		meson setup --buildtype=release -Dtests=disabled "$build" "$top" </dev/null
	ninja -C "$build" </dev/null
fi
"$bmaptool" --version

# Memory, if there is plenty: then the numbers are the program's and not the disk's.
pick_folder()
{
	local need_kib=$1 memory_kib free_kib
	memory_kib=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
	if [ -w /dev/shm ]; then
		free_kib=$(df -Pk /dev/shm | awk 'NR == 2 { print $4 }')
		if [ "$free_kib" -gt "$need_kib" ] && [ "$memory_kib" -gt $((need_kib * 2)) ]; then
			echo /dev/shm
			return
		fi
	fi
	echo /var/tmp
}
# Image, its compressed forms and the device: each holds about the files once; compared sparse.
base=${QUICK_START_TMP:-$(pick_folder $(((files_mib * 4 + 512) * 1024)))}
work=$(mktemp -d "$base/bmaptool-quick-start.XXXXXX")
image=$work/disk.img

say "An image of $size_mib MiB (GPT, ext4) with $files_mib MiB of files from ${BMAP_FILES_FROM:-/usr}"
timed "make the image" "$top/tests/support/make-image.sh" "$image" "$size_mib" "$files_mib"
du -k "$image" | awk '{ printf "%d MiB of it are data\n", $1 / 1024 }'

say "Create its bmap"
timed "create" "$bmaptool" create -o "$image.bmap" "$image"

say "Compress it"
timed "compress with zstd" zstd -q -T0 -3 "$image" -o "$image.zst"
forms=("$image.zst")
for gzip in igzip pigz; do
	if command -v $gzip >/dev/null; then
		timed "compress with $gzip" sh -c "$gzip -1 -c '$image' >'$image.gz'"
		forms+=("$image.gz")
		break
	fi
done
forms+=("$image")

say "A device to flash"
truncate -s "${size_mib}M" "$work/device"
target=$work/flashed.img
if [ "$(id -u)" != 0 ]; then
	echo "skipped: loop device: not root; flashing to a file instead"
elif ! device=$(losetup -f --show --direct-io=on "$work/device" 2>&1) &&
	! device=$(losetup -f --show "$work/device" 2>&1); then
	echo "skipped: loop device: $device; flashing to a file instead"
	device=''
else
	target=$device
	echo "$device on $work/device"
fi

for form in "${forms[@]}"; do
	say "Flash ${form##*/} to $target, verify it"
	timed "flash ${form##*/}" "$bmaptool" copy "$form" "$target"
	timed "verify the target" "$bmaptool" verify --bmap "$image.bmap" "$target"
done

say "Compare with cmp (the target was empty before: holes of the image are zeros on it)"
if [ -n "$device" ]; then
	losetup -d "$device"
	device=''
	target=$work/device
fi
timed "cmp" cmp "$image" "$target"

say "Done: every byte is right"
printf '%s\n' "${timings[@]}"
