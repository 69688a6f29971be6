# shellcheck shell=bash
# Shared by every bash command of ./dev: messages, the repository's root, the settings of the local
# stack.
# Usage: source "$(dirname "$0")/lib/base.sh"

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export ROOT

if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' PLAIN=$'\e[0m'
else
  BOLD='' RED='' GREEN='' YELLOW='' PLAIN=''
fi

# Messages go to stderr, so that a command's output stays clean.
say() { printf '%s\n' "$*" >&2; }
# progress, with the time since the start
step() { printf '%s%5ss%s  %s\n' "$BOLD" "$SECONDS" "$PLAIN" "$*" >&2; }
ok() { printf '%s%s%s\n' "$GREEN" "$*" "$PLAIN" >&2; }
warn() { printf '%s%s%s\n' "$YELLOW" "$*" "$PLAIN" >&2; }
die() {
  printf '%serror:%s %s\n' "$RED" "$PLAIN" "$*" >&2
  exit 1
}
usage_error() { # a wrong argument: says it with the command's usage, exit 2
  printf '%serror:%s %s\n' "$RED" "$PLAIN" "$*" >&2
  print_help >&2
  exit 2
}

print_help() { # the comment at the top of the calling script, without its `# group:` line
  awk 'NR == 1 { next } !/^#/ { exit }
    !/^# group:/ { sub(/^# ?/, ""); sub(/^help: /, ""); print }' "$0"
}

help_wanted() { # "$@": prints the help and exits when --help is among the arguments
  local arg
  for arg; do
    if [[ $arg == --help || $arg == -h ]]; then
      print_help
      exit 0
    fi
  done
}

no_arguments() { # "$@": for a command that takes none but --help
  help_wanted "$@"
  (($# == 0)) || usage_error "unexpected argument '$1'"
}

have() { command -v "$1" >/dev/null 2>&1; }

# SECONDS COMMAND...: tries the command every 0.1 s; false when it has not succeeded in time
wait_until() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || return 1
    sleep 0.1
  done
}

if [[ -n ${FASTSTOCK_PORT_BASE:-} ]]; then
  [[ $FASTSTOCK_PORT_BASE =~ ^[1-9][0-9]{3,4}$ && $FASTSTOCK_PORT_BASE -le 65000 ]] ||
    usage_error "FASTSTOCK_PORT_BASE must be a whole number from 1000 to 65000, not" \
      "'$FASTSTOCK_PORT_BASE'"
fi
set -a
# shellcheck source=../../local/stack.env
source "$ROOT/local/stack.env"
set +a
[[ $FASTSTOCK_RUN_DIR == /* ]] || FASTSTOCK_RUN_DIR=$ROOT/$FASTSTOCK_RUN_DIR

# -- k6

list_scenarios() { # the load scenarios, each with what its first line says
  local file
  for file in "$ROOT"/k6/*.js; do
    [[ $file == */lib-* ]] ||
      printf '%-14s %s\n' "$(basename "$file" .js)" "$(sed -n '1s|^// *||p' "$file")"
  done
}
