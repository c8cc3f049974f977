# Completion for bash: the commands and options are those that the programs name themselves.

_serverledge_words() {
  # "  -f,--function TEXT   ..." in a list of options, "  create   ..." in one of subcommands.
  "$@" --help 2>/dev/null | sed -nE 's/^  ((-[A-Za-z],)?--[a-z_-]+).*/\1/p; /^Subcommands:/,/^$/s/^  ([a-z]+) .*/\1/p' |
    sed -E 's/^-[A-Za-z],//'
}

_serverledge() {
  local program=$1 current=$2 previous=$3 word command='' words
  COMPREPLY=()
  case $previous in
    --src | --params_file) mapfile -t COMPREPLY < <(compgen -f -- "$current"); compopt -o filenames 2>/dev/null; return ;;
    -f | --function)
      [ "${program##*/}" = serverledge-cli ] || return
      # Of the node that the line names, if it answers at once.
      words=$(timeout 1 "$program" list 2>/dev/null | grep -oE '"[^"]+"' | tr -d '"')
      mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
      return ;;
  esac
  if [ "${program##*/}" = serverledge-cli ]; then
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
      case $word in create | delete | invoke | list | poll | prewarm | status) command=$word ;; esac
    done
  fi
  # shellcheck disable=SC2086
  words=$(_serverledge_words "$program" $command)
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  case ${program##*/} in serverledge | serverledge-lb)
    [[ $current == -* ]] || { mapfile -t COMPREPLY < <(compgen -f -- "$current"); compopt -o filenames 2>/dev/null; } ;;
  esac
}

complete -F _serverledge serverledge serverledge-cli serverledge-bench serverledge-lb
