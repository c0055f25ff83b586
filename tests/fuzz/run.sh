#!/bin/bash
# SPDX-License-Identifier: MIT
# Fuzzes every target for some seconds, with clang, address and undefined behaviour sanitizers, from its
# corpus. usage: tests/fuzz/run.sh [SECONDS [TARGET...]]     finds are left in build-fuzz/finds/
set -uo pipefail
export LC_ALL=C.UTF-8 CC=clang
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$top/build-fuzz
seconds=${1:-60}
[ $# = 0 ] || shift
passed=0 failed=0

[ -f "$build/build.ninja" ] ||
	meson setup "$build" "$top" -Dfuzzer=true -Db_sanitize=address,undefined -Db_lundef=false \
		-Ddebug=true >"$build.log" 2>&1 || {
	tail -n 20 "$build.log"
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
}
rm -f "$build.log"
ninja -C "$build" >/dev/null || {
	echo "the build failed: ninja -C $build"
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
}
mkdir -p "$build/finds"
for program in "$build"/tests/fuzz/*_fuzz; do
	name=$(basename "$program" _fuzz)
	[ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
	# What it learns stays in the build folder; the corpus in the repository is only read.
	mkdir -p "$build/corpus/$name"
	echo "== $name: $seconds s"
	if "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$build/finds/$name-" "$build/corpus/$name" \
		"$top/tests/fuzz/corpus/$name" </dev/null >"$build/$name.log" 2>&1; then
		grep -E 'number_of_executed_units|new_units_added' "$build/$name.log"
		passed=$((passed + 1))
	else
		tail -n 30 "$build/$name.log"
		failed=$((failed + 1))
	fi
done
[ $((passed + failed)) -gt 0 ] || failed=1
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
