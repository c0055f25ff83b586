#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the packages that a job needs on Debian 12.
# usage: tools/setup-debian.sh [-n] SET...      -n: only print what is missing
# Sets: build (compile it), demo (the quick start), test (all suites but lab), lab (that too: in QEMU;
# where its kernel comes from is in tests/support/guest.py), bench (the comparison).
# Does nothing, and needs no network, when all packages are there. Runs as root, or through sudo.
set -eu
export LC_ALL=C

build="gcc libc6-dev meson ninja-build pkg-config python3
	libxml2-dev libssl-dev libzstd-dev zlib1g-dev liblzma-dev libxxhash-dev liburing-dev libisal-dev
	liblz4-dev liblzo2-dev libbz2-dev libcurl4-openssl-dev libblkid-dev libudev-dev libext2fs-dev libjansson-dev
	libcairo2-dev"
demo="e2fsprogs fdisk util-linux mount coreutils findutils diffutils zstd gzip pigz"
test="$demo clang clang-format libclang-rt-14-dev libcmocka-dev g++ binutils git procps gpg gpg-agent gpgv
	openssl bmap-tools python3-jsonschema xz-utils bzip2 isal lz4 lzop xfsprogs btrfs-progs dosfstools mtools libseccomp-dev strace"
lab="$test qemu-system-x86 busybox-static cpio kmod"
bench="$demo bmap-tools isal fio lbzip2 lz4 lzop xz-utils"

die()
{
	echo "setup-debian.sh: $*" >&2
	exit 1
}

only_print=no
if [ "${1-}" = -n ]; then
	only_print=yes
	shift
fi
[ $# -gt 0 ] || die "which set? build, demo, test, lab, bench"

wanted=
for set in "$@"; do
	case $set in
	build) wanted="$wanted $build" ;;
	demo) wanted="$wanted $demo" ;;
	test) wanted="$wanted $test" ;;
	lab) wanted="$wanted $lab" ;;
	bench) wanted="$wanted $bench" ;;
	*) die "no set of packages is called $set: build, demo, test, lab, bench" ;;
	esac
done

command -v dpkg-query >/dev/null 2>&1 ||
	die "this is not Debian: install what corresponds to $(echo $wanted)"

missing=
for package in $wanted; do
	# A line for each architecture; "not-installed" is one of the answers.
	case " $(dpkg-query -W -f '${db:Status-Status} ' "$package" 2>/dev/null || true)" in
	*" installed "*) ;;
	*) missing="$missing $package" ;;
	esac
done
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
[ -n "$(echo $missing)" ] || exit 0
echo "setup-debian.sh: missing: $missing"
[ $only_print = no ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null 2>&1 ||
		die "not root, and sudo is not installed: as root, apt-get install $missing"
	as_root=sudo
fi
install()
{
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
		--no-install-recommends -o Dpkg::Use-Pty=0 $missing </dev/null
}
# The lists of packages may be absent or old: fetch them when the first try fails.
if ! install; then
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q </dev/null
	install
fi
