# shellcheck shell=bash
# The Debian 12 packages that Serverledge needs, by purpose, and how to install those that are missing. Source it, then
# call `require_packages <purpose>...`: it does nothing when all are there, and ends the script with a message that
# says what to do when it cannot help.

packages_for() {
  case $1 in
    build) # the library and the executables
      echo g++ cmake ninja-build pkg-config ccache libcpp-httplib-dev libtomlplusplus-dev \
        libyaml-cpp-dev libfmt-dev libspdlog-dev libarchive-dev libsqlite3-dev libssl-dev libseccomp-dev \
        libcap-ng-dev libcli11-dev prometheus-cpp-dev libgrpc++-dev libprotobuf-dev protobuf-compiler \
        protobuf-compiler-grpc ;;
    run) # what a node runs functions with
      echo python3
      [ -x /usr/bin/node ] || echo nodejs ;;
    cluster) # what nodes of a cluster share
      echo etcd-server ;;
    libraries) # what the executables need where they have not been built
      echo libstdc++6 libcpp-httplib0.11 libtomlplusplus3 libyaml-cpp0.7 libfmt9 libspdlog1.10 libarchive13 \
        libsqlite3-0 libssl3 libseccomp2 libcap-ng0 libprometheus-cpp-core1.0 libgrpc++1.51 libprotobuf32 ;;
    test) echo ansible-core curl debootstrap docker.io git iptables catch2 librapidcheck-dev clang-format clang-tidy shellcheck \
        etcd-client etcd-server iproute2 jq mypy openssl prometheus prometheus-pushgateway pybind11-dev python3-dev python3-jsonschema python3-numpy python3-pytest python3-yaml systemd ;;
    podman) echo podman ;;
    fuzz) echo clang libfuzzer-14-dev libclang-rt-14-dev rapidjson-dev ;;
    package) echo debootstrap file lintian ;; # the Debian packages and their test
    vm) echo cpio debootstrap dpkg-dev file qemu-system-x86 ;;
    *) echo "packages_for: unknown purpose '$1'" >&2; return 1 ;;
  esac
}

# Runs a command as root: directly, or by sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

can_be_root() {
  [ "$(id -u)" = 0 ] && return
  command -v sudo >/dev/null || return
  sudo -n true 2>/dev/null || [ -t 0 ]
}

missing_packages() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

is_debian_12() (
  [ -r /etc/os-release ] || return 1
  # shellcheck source=/dev/null
  . /etc/os-release
  command -v apt-get >/dev/null && [ "${DEBIAN_CODENAME:-${VERSION_CODENAME:-}}" = bookworm ]
)

operating_system() (
  # shellcheck source=/dev/null
  [ -r /etc/os-release ] && . /etc/os-release
  echo "${PRETTY_NAME:-$(uname -s)}"
)

require_packages() {
  local purpose wanted missing log
  mapfile -t wanted < <(for purpose in "$@"; do packages_for "$purpose"; done | tr ' ' '\n')
  if ! is_debian_12; then
    cat >&2 <<END
This is $(operating_system). These scripts know Debian 12 (bookworm) and what derives from it. There, these packages are needed:
  ${wanted[*]}
Use a Debian 12 machine (a virtual one will do), or install the same libraries here and build by hand:
  cmake --preset release && cmake --build --preset release
END
    exit 1
  fi
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! can_be_root; then
    cat >&2 <<END
Packages are missing, and installing them needs root (there is no sudo that can be used here). Run as root:
  apt-get update && apt-get install --no-install-recommends ${missing[*]}
Then run this again as yourself.
END
    exit 1
  fi
  echo "installing with apt-get: ${missing[*]}"
  log=$(mktemp)
  if ! install_packages "${missing[@]}" >"$log" 2>&1; then
    explain_apt_failure "$log" "${missing[@]}" >&2
    rm -f "$log"
    exit 1
  fi
  rm -f "$log"
}

install_packages() {
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2)
  # One foreign source that does not answer must not stop what comes from Debian; a real failure shows in the install.
  as_root "${apt[@]}" update || true
  as_root "${apt[@]}" install --no-install-recommends "$@"
}

explain_apt_failure() {
  local log=$1
  shift
  tail -n 6 "$log" | sed 's/^/  | /'
  if grep -qE 'Could not resolve|Temporary failure|Could not connect|Connection (failed|timed out)|Network is unreachable|Failed to fetch' "$log"; then
    echo "The package archive cannot be reached: no network, or no way through a proxy (see apt.conf(5), Acquire::http::Proxy)."
  elif grep -q 'Unable to locate package' "$log"; then
    echo "A package is unknown here: /etc/apt/sources.list must name Debian 12's main archive, e.g."
    echo "  deb http://deb.debian.org/debian bookworm main"
  else
    echo "apt-get could not install what is missing."
  fi
  echo "What was to be installed: $*"
}
