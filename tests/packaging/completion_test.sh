#!/usr/bin/env bash
# What bash offers for the programs' words. Usage: completion_test.sh <completion file> <folder of the programs>
set -euo pipefail
# shellcheck source=/dev/null
source "$1"
export PATH=$2:$PATH

# offered <word>... : what is offered for the last of the words
offered() {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  _serverledge "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
  echo "${COMPREPLY[*]}"
}
expect() {
  local wanted=$1 got
  shift
  got=$(offered "$@")
  [ "$got" = "$wanted" ] || { echo "for '$*': expected '$wanted', got '$got'"; exit 1; }
}

expect 'create' serverledge-cli cr
expect 'poll prewarm' serverledge-cli p
expect '--help --host' serverledge-cli --h
expect '--runtime' serverledge-cli create --ru
expect '--custom_image' serverledge-cli -P 1 create --cu
expect '--resptime' serverledge-cli invoke --res
expect '' serverledge-cli list --ru
expect '--duration' serverledge-bench --du
expect '--check-config' serverledge --che
cd "$(dirname "$1")"
expect 'completion.bash' serverledge compl
expect 'completion.bash' serverledge-cli create --src comp
