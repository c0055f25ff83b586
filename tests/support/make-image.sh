#!/bin/bash
# SPDX-License-Identifier: MIT
# Makes a disk image as distributions ship them: GPT, a boot partition, an ext4 partition filled with
# real files of this machine; sparse. Needs no root and no loop device.
# usage: make-image.sh IMAGE [SIZE_MIB [FILES_MIB]]     (4096 MiB with 1024 MiB of files)
# BMAP_FILES_FROM: where the files come from (default /usr)
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

image=${1:?usage: make-image.sh IMAGE [SIZE_MIB [FILES_MIB]]}
size_mib=${2:-4096}
files_mib=${3:-1024}
from=${BMAP_FILES_FROM:-/usr}
boot_mib=32
root_at_mib=$((boot_mib + 1))
root_mib=$((size_mib - root_at_mib - 1)) # the last MiB has the backup GPT

die()
{
	echo "make-image.sh: $*" >&2
	exit 1
}

for program in sfdisk mkfs.ext4; do
	command -v $program >/dev/null || die "$program is not installed (tools/setup-debian.sh demo)"
done
[ "$root_mib" -gt $((files_mib * 11 / 10 + 64)) ] ||
	die "$files_mib MiB of files do not fit in an image of $size_mib MiB"

mkdir -p "$(dirname "$image")"
stage=$(mktemp -d "$(dirname "$image")/stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Files in a fixed order until there are enough: no more than 64 MiB each, so that it is a mixture.
# What this user may not read is left out.
(cd "$from" && { find . -xdev -type f -readable -size -131072 -printf '%s %p\n' 2>/dev/null || true; }) |
	sort -k2 | awk -v limit=$((files_mib * 1024 * 1024)) '
	sum < limit && !/\\/ { sum += int(($1 + 4095) / 4096) * 4096
		print substr($0, index($0, " ") + 1) }' >"$stage.list"
trap 'rm -rf "$stage" "$stage.list"' EXIT
[ -s "$stage.list" ] || die "no readable files below $from"
# Hard links where the file systems allow it: nothing is copied twice.
(cd "$from" && tr '\n' '\0' <"$stage.list" |
	xargs -0 cp --parents -l -t "$stage" 2>/dev/null) ||
	(cd "$from" && tr '\n' '\0' <"$stage.list" |
		xargs -0 cp --parents -f -t "$stage")

rm -f "$image"
truncate -s "${size_mib}M" "$image"
sfdisk -q "$image" <<EOF
label: gpt
label-id: 7B1E4A52-61C5-4B0E-9C0B-5A0E4D1F2C33
first-lba: 2048
start=$((2048)), size=$((boot_mib * 2048)), type=uefi, name=boot
start=$((root_at_mib * 2048)), size=$((root_mib * 2048)), type=linux, name=root
EOF
# The boot partition: data that starts inside the first MiB boundary, half full.
head -c $((boot_mib * 512 * 1024)) /dev/urandom |
	dd of="$image" bs=1M seek=1 conv=notrunc,fdatasync status=none
mkfs.ext4 -q -F -b 4096 -L root -E "offset=$((root_at_mib * 1024 * 1024)),lazy_itable_init=1" \
	-d "$stage" "$image" "${root_mib}M"
