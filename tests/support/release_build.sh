# shellcheck shell=bash
# Builds what the examples run. Source it where `fail <message>` ends the script.

# build_release <target>...
build_release() {
  local build=build/release options=()
  # Without its tests the project needs fewer packages. A build folder that has them already is left as it is.
  if ! { [ -f $build/build.ninja ] && grep -q 'SERVERLEDGE_BUILD_TESTS:BOOL=ON' $build/CMakeCache.txt; }; then
    options=(-DSERVERLEDGE_BUILD_TESTS=OFF)
  fi
  if ! { mkdir -p $build && [ -w $build ]; } 2>/dev/null; then
    fail "cannot write to $PWD/$build (did another user build there?)"
  fi
  cmake --preset release "${options[@]}" >$build/configure.log 2>&1 ||
    { tail -n 30 $build/configure.log >&2; fail "configuring failed"; }
  NINJA_STATUS='  [%f/%t] ' cmake --build --preset release --target "$@"
}
