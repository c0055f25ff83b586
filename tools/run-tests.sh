#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs what the tests need, builds, runs all suites. The last line says how it went.
#   --build DIR         where to build (default: build-test beside the sources, with suffixes)
#   --suite A,B         only these: unit cli device lab fuzz lint, threads (the part of unit with threads),
#                       sanitized (a part of cli), slow (devices that are slow or do not answer)
#   --sanitize WHAT     address (with undefined) or thread
#   --compiler CC       gcc (default) or clang
#   --setup OPTION      passed to meson setup, may be repeated: -Disal=disabled
#   --werror            a warning is an error
#   --limit SECONDS     whole run, killed after that (counts as failed)
#   --no-install        packages are there already
#   --long              everything: all of the above over all suites, 60 s of fuzzing a target,
#                       options off, and the black-box suite if its folder is given by CONFORMANCE
set -uo pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")/.." && pwd)
self=$here/tools/run-tests.sh

build='' suites='' sanitize='' compiler=gcc werror='' limit=0 install=yes long=no
setup=()
while [ $# -gt 0 ]; do
	case $1 in
	--*=*) # --name=value is --name value
		set -- "${1%%=*}" "${1#*=}" "${@:2}"
		continue
		;;
	--build) build=$2 && shift ;;
	--suite) suites=$2 && shift ;;
	--sanitize) sanitize=$2 && shift ;;
	--compiler) compiler=$2 && shift ;;
	--setup) setup+=("$2") && shift ;;
	--limit) limit=$2 && shift ;;
	--werror) werror=yes ;;
	--no-install) install=no ;;
	--long) long=yes ;;
	-h | --help)
		sed -n '3,16s/^# \{0,1\}//p' "$self"
		exit 0
		;;
	*)
		echo "run-tests.sh: unknown option $1 (--help)" >&2
		exit 2
		;;
	esac
	shift
done

fail()
{
	echo "run-tests.sh: $*" >&2
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
}

if [ $install = yes ]; then
	"$here/tools/setup-debian.sh" build test >&2 || fail "the packages could not be installed"
fi

# ------------------------------------------------------------- the long run: this script, many times
long_run()
{
	local total=(0 0 0) bad=0 line
	local out
	out=$(mktemp)
	trap 'rm -f "$out"' EXIT
	step()
	{
		echo
		echo "=== $*"
		"$@" </dev/null 2>&1 | tee "$out"
		[ "${PIPESTATUS[0]}" = 0 ] || bad=1
		line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$out" | tail -n 1)
		if [ -z "$line" ]; then
			bad=1
			total[1]=$((total[1] + 1))
			return
		fi
		read -r p _ f _ s _ <<<"$line"
		total=($((total[0] + p)) $((total[1] + f)) $((total[2] + s)))
	}
	matrix() # every form of an image of 1 GiB, every damage from a file and from a pipe
	{
		BMAP_TEST_MATRIX_MIB=1024 BMAP_TEST_LONG=1 meson test -C "$here/build-test" \
			--no-rebuild --print-errorlogs --timeout-multiplier 10 matrix broken
		python3 "$here/tools/summarize-tests.py" \
			"$here/build-test/meson-logs/testlog.json" $?
	}
	step "$self" --no-install
	step "$self" --no-install --suite slow
	step matrix
	step "$self" --no-install --compiler clang --build "$here/build-test-clang"
	step "$self" --no-install --sanitize address
	step "$self" --no-install --sanitize thread
	step "$self" --no-install --setup -Dio_uring=disabled --build "$here/build-test-no-uring" \
		--suite unit,cli
	step "$self" --no-install --setup -Disal=disabled --build "$here/build-test-no-isal" \
		--suite unit,cli
	step "$here/tests/fuzz/run.sh" 60
	local conformance=${CONFORMANCE:-}
	if [ -n "$conformance" ] && [ -x "$conformance/run.py" ]; then
		step python3 "$conformance/run.py" "$here/build-test/src/cli/bmaptool"
	fi
	echo
	echo "${total[0]} passed, ${total[1]} failed, ${total[2]} skipped"
	[ $bad = 0 ] && [ "${total[1]}" = 0 ]
}
if [ $long = yes ]; then
	long_run
	exit
fi

# ------------------------------------------------------------- one build, its suites
args=(-Dtests=enabled -Ddebug=true)
case $sanitize in
'') ;;
address) args+=("-Db_sanitize=address,undefined" -Db_lundef=false -Doptimization=1) ;;
thread) args+=(-Db_sanitize=thread -Db_lundef=false -Doptimization=1) ;;
*) fail "--sanitize is address or thread, not $sanitize" ;;
esac
[ -n "$build" ] || build=$here/build-test${sanitize:+-$sanitize}
[ -z "$werror" ] || args+=(--werror)
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0:exitcode=99}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1:exitcode=99}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=0:exitcode=99:second_deadlock_stack=1}
export CC=$compiler

if [ -f "$build/build.ninja" ]; then
	meson setup --reconfigure "$build" "$here" "${args[@]}" "${setup[@]}" >"$build.log" 2>&1
else
	meson setup "$build" "$here" "${args[@]}" "${setup[@]}" >"$build.log" 2>&1
fi || {
	tail -n 20 "$build.log"
	fail "meson setup failed"
}
rm -f "$build.log"
ninja -C "$build" >"$build/build.log" 2>&1 || {
	tail -n 40 "$build/build.log"
	fail "the build failed"
}
grep -E 'warning:' "$build/build.log"

select=()
for suite in ${suites//,/ }; do
	select+=(--suite "$suite")
done
log=$build/meson-logs/testlog.json
rm -f "$log"
multiplier=1
[ -z "$sanitize" ] || multiplier=4
run=(meson test -C "$build" --no-rebuild --print-errorlogs --timeout-multiplier "$multiplier"
	"${select[@]}")
[ "$limit" = 0 ] || run=(timeout -k 20 "$limit" "${run[@]}")
"${run[@]}" </dev/null
code=$?
[ $code != 124 ] || echo "run-tests.sh: not finished within $limit s"
python3 "$here/tools/summarize-tests.py" "$log" $code
