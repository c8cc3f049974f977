#!/usr/bin/env bash
# Builds everything and runs the tests. CI runs this.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tests/run.sh [--quick | --all]

Installs what is missing (Debian 12), checks the format of all sources, builds `release` and runs all its tests, then
the unit tests under `asan` (address and undefined behaviour) and `tsan` (threads). The last line is the verdict:
N passed, N failed, N skipped; the exit code is 0 only if nothing failed. A test that needs more rights than there are
is skipped, and the summary says so. A test that failed runs once more, alone, and is named as unsteady if it passes
then. Logs and the results as JUnit XML are under build/logs.

  --quick   only the unit tests of `release`: for the minutes between two edits
  --all     also clang-tidy, the integration tests under `asan` and `tsan`, the fuzzers for a few seconds each, the
            programs linked with the shared library (BUILD_SHARED_LIBS), the Debian packages in a fresh root
            (tests/packaging/deb_test.sh), and a Debian 12 virtual machine with systemd (tests/vm/run.sh)
  --help    this text

With SERVERLEDGE_TEST_PODMAN=1 Podman is installed and tested, too; otherwise where it is there already.
With SERVERLEDGE_LONG_TESTS=1 in the environment tests that take several minutes are run too (a node that is cut off from etcd
until its lease has gone).
END
}

mode=normal
case ${1-} in
  '') ;;
  --quick | --all) mode=${1#--} ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 1 ;;
esac
[ $# -le 1 ] || { usage >&2; exit 1; }

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/support/packages.sh

logs=build/logs
jobs=$(nproc)
passed=0 failed=0 skipped=0
summary=()

case $mode in
  quick) stages=3 ;;
  normal) stages=5 ;;
  all) stages=9 ;;
esac
stage=0
begin() {
  stage=$((stage + 1))
  SECONDS=0
  echo
  echo "[$stage/$stages] $1"
}

# record "<passed> <failed> <skipped>" <what ran>
record() {
  local now_passed now_failed now_skipped
  read -r now_passed now_failed now_skipped <<<"$1"
  passed=$((passed + now_passed)) failed=$((failed + now_failed)) skipped=$((skipped + now_skipped))
  summary+=("$(printf '%5d passed %4d failed %4d skipped  %4d s  %s' \
    "$now_passed" "$now_failed" "$now_skipped" "$SECONDS" "$2")")
}

# A check that passes or fails as a whole: check <name> <command...>
check() {
  local name=$1
  shift
  if "$@"; then record '1 0 0' "$name"; else record '0 1 0' "$name"; fi
}

# Sources under version control; from a tarball, whatever lies in our folders.
sources() {
  if git rev-parse --git-dir >/dev/null 2>&1; then
    git ls-files -- "$@"
  else
    local pattern
    for pattern in "$@"; do find . -path ./build -prune -o -type f -name "$pattern" -print; done
  fi
}

check_format() { sources '*.cpp' '*.hpp' '*.c' '*.h' | xargs -r -P "$jobs" -n 20 clang-format --dry-run -Werror; }
check_scripts() { { sources '*.sh'; echo .ci/run; } | xargs shellcheck -x; }
# Of `asan`, whose database has each room as a whole: a quarter of the time that its sources take one by one.
check_tidy() { python3 tests/support/tidy.py build/asan -j "$jobs"; }

# build <preset> <target>
build() {
  local preset=$1 target=$2
  echo "building $preset"
  mkdir -p $logs
  cmake --preset "$preset" -DSERVERLEDGE_BUILD_TESTS=ON >"$logs/configure-$preset.log" 2>&1 || { tail -n 30 "$logs/configure-$preset.log"; return 1; }
  NINJA_STATUS='  [%f/%t] ' cmake --build --preset "$preset" --target "$target" --parallel "$jobs"
}

# run_tests <preset> <name> <ctest options...>: adds up what ctest reports.
run_tests() {
  local preset=$1 name=$2 results=$PWD/$logs/tests-$1.xml again=$PWD/$logs/tests-$1-again.xml
  shift 2
  rm -f "$results" "$again"
  # Its exit code tells less than its report. Many tests wait for something: one more than there are cores.
  # What failed runs once more, alone: a test that a starved machine made fail is told from one that fails, and is named.
  # What failed is remembered by numbers, which depend on the options.
  ctest --preset "$preset" --parallel "$((jobs + 1))" --output-junit "$results" "$@" ||
    ctest --preset "$preset" --rerun-failed --output-junit "$again" "$@" || true
  local counts
  counts=$(python3 tests/support/ctest_report.py "$results" "$again" "$preset" "$logs") || counts="0 1 0"
  record "$counts" "$name"
}

# build_and_run <preset> <target> <name> <ctest options...>
build_and_run() {
  local preset=$1 target=$2 name=$3
  shift 3
  if build "$preset" "$target"; then
    run_tests "$preset" "$name" "$@"
  else
    record '0 1 0' "$name: does not build"
  fi
}

# The executables with the shared library: what is installed then serves as the static build's does.
check_shared() {
  local build=$PWD/build/shared
  {
    cmake --preset release -B "$build" -DBUILD_SHARED_LIBS=ON -DSERVERLEDGE_BUILD_TESTS=OFF && cmake --build "$build" --parallel "$jobs"
  } >$logs/build-shared.log 2>&1 || { tail -n 30 $logs/build-shared.log; return 1; }
  readelf -d "$build/bin/serverledge" | grep -q 'NEEDED.*libserverledge\.so\.0' || { echo "the node does not use the shared library"; return 1; }
  python3 -B tests/packaging/install_test.py "$PWD" "$build" cmake c++
}

run_vm() {
  local counts
  tests/vm/run.sh 2>&1 | tee $logs/vm.log || true
  grep '^SKIP ' $logs/vm.log | sed 's/^SKIP /(vm) /' >>$logs/skipped || true
  counts=$(tail -n 1 $logs/vm.log | sed -nE 's/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p')
  record "${counts:-0 1 0}" "vm (Debian 12, systemd, cgroups v2)"
}

# tell <file> <what is in it>
tell() {
  [ -s "$logs/$1" ] || return 0
  echo "$2:"
  sed 's/^/  /' "$logs/$1"
  echo
}

finish() {
  echo
  tell skipped "SKIPPED, so not tested here"
  tell unsteady "UNSTEADY, failed beside others and passed alone"
  tell failed "FAILED, and the last lines of what they printed"
  printf '%s\n' "${summary[@]}"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ $failed -eq 0 ]
}

main() {
  local purposes=(build run test) release_tests=()
  # What a sanitizer build is without: tests of the sources, not of what is built.
  local sanitized=unit_tests sanitized_tests=(--label-regex '^unit$' --exclude-regex '^structure: ')
  case $mode in
    quick) release_tests=(--label-regex '^unit$') ;;
    all)
      purposes+=(fuzz package vm)
      sanitized=all
      sanitized_tests[1]='^(unit|integration)$'
      ;;
  esac
  [ -z "${SERVERLEDGE_TEST_PODMAN-}" ] || purposes+=(podman)
  mkdir -p $logs
  rm -f $logs/{skipped,unsteady,failed}

  begin "looking for what is needed"
  require_packages "${purposes[@]}"

  begin "style: clang-format, shellcheck"
  check "clang-format" check_format
  check "shellcheck" check_scripts

  begin "release: build and tests"
  build_and_run release all "release" "${release_tests[@]}"

  if [ "$mode" != quick ]; then
    begin "asan: build and tests"
    build_and_run asan $sanitized "asan (address and undefined behaviour)" "${sanitized_tests[@]}"

    begin "tsan: build and tests"
    build_and_run tsan $sanitized "tsan (threads)" "${sanitized_tests[@]}"
  fi

  if [ "$mode" = all ]; then
    begin "clang-tidy"
    check "clang-tidy" check_tidy

    begin "fuzz: build and short runs"
    build_and_run fuzz all "fuzz" --label-regex '^fuzz$'

    begin "shared: build, and the test of an install"
    check "programs linked with the shared library" check_shared

    begin "Debian packages, and their life in a fresh Debian 12"
    check "Debian packages" tests/packaging/deb_test.sh

    begin "a Debian 12 with systemd, in a virtual machine"
    run_vm
  fi
  finish
}
main
