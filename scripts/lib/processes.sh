# shellcheck shell=bash
# Processes in the background, each with a name: started, found again, stopped.
# Source base.sh first.
#
# A process NAME has a home, $FASTSTOCK_RUN_DIR/data/NAME, which is its working directory and that
# of all its children: its program running there is ours, even when the parent is gone. Its record,
# $FASTSTOCK_RUN_DIR/pid/NAME, holds "pid start-time boot-id fingerprint", so a pid that the system
# gave to somebody else is never taken for ours. The caller defines program_of NAME, the name of its
# program.

as_owner=() # command prefix that runs a program as the user who owns the stack; see choose_owner

home_of() { echo "$FASTSTOCK_RUN_DIR/data/$1"; }
log_of() { echo "$FASTSTOCK_RUN_DIR/log/$1.log"; }
record_of() { echo "$FASTSTOCK_RUN_DIR/pid/$1"; }

# PostgreSQL and PgBouncer refuse to run as root, so root runs the stack as the user postgres of
# Debian's package. That user may have no way into a repository below a folder like /root: then it
# gets the one capability that opens the way.
choose_owner() {
  ((EUID == 0)) || return 0
  id postgres >/dev/null 2>&1 ||
    die "there is no user postgres to run the stack as; install the package postgresql"
  local plain=(setpriv --reuid=postgres --regid=postgres --clear-groups) capability
  as_owner=("${plain[@]}")
  owner_gets_in && return
  for capability in +dac_read_search +dac_override; do
    as_owner=("${plain[@]}" --inh-caps="$capability" --ambient-caps="$capability")
    owner_gets_in && return
  done
  die "the user postgres, who runs the stack for root, cannot reach $ROOT or $FASTSTOCK_RUN_DIR:" \
    "allow that with chmod," \
    "or move them"
}

# tried by running something: `test -x` would ask access(2), which knows of no capabilities
owner_gets_in() {
  "${as_owner[@]}" "$ROOT/scripts/env" --help >/dev/null 2>&1 &&
    "${as_owner[@]}" ls "$FASTSTOCK_RUN_DIR/data" >/dev/null 2>&1
}

start_time() { # PID: in clock ticks since boot; false for a process that is gone or a zombie
  local stat
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  read -ra stat <<<"${stat##*) }"
  [[ ${stat[0]} != Z ]] && echo "${stat[19]}"
}

boot_id() { cat /proc/sys/kernel/random/boot_id; }

pid_of() { # NAME: its pid when it runs, else false
  local pid started boot _
  { read -r pid started boot _ <"$(record_of "$1")"; } 2>/dev/null || return 1
  [[ $boot == "$(boot_id)" && $started == "$(start_time "$pid")" ]] && echo "$pid"
}

is_running() { pid_of "$1" >/dev/null; }

pids_at_home() { # NAME: all processes of its program whose working directory is its home
  local program pid
  program=$(program_of "$1")
  {
    find /proc/[0-9]*/cwd -maxdepth 0 -lname "$(home_of "$1")" 2>/dev/null || true
  } | while IFS=/ read -r _ _ pid _; do
    [[ $(cat "/proc/$pid/comm" 2>/dev/null) != "$program" ]] || echo "$pid"
  done
}

fingerprint_of() { # NAME: of what the running process was started with
  local _ fingerprint
  read -r _ _ _ fingerprint <"$(record_of "$1")" && echo "$fingerprint"
}

start_process() { # NAME FINGERPRINT COMMAND...
  local name=$1 fingerprint=$2 pid
  shift 2
  (
    ulimit -n "$(ulimit -Hn)"
    cd "$(home_of "$name")" || exit
    exec setsid "${as_owner[@]}" "$@"
  ) </dev/null >>"$(log_of "$name")" 2>&1 9>&- &
  pid=$!
  disown
  echo "$pid $(start_time "$pid" || echo 0) $(boot_id) $fingerprint" >"$(record_of "$name")"
}

# NAME SIGNAL SECONDS: asks it to end; kills it and its remaining processes after that time
stop_process() {
  local pid
  if pid=$(pid_of "$1"); then
    kill -s "$2" "$pid" 2>/dev/null || true
    wait_until "$3" process_gone "$1" || warn "$1 has not ended within $3 s, killing it"
  fi
  kill_process "$1"
}

kill_process() { # NAME: at once, with all its children
  local pid pids
  pid=$(pid_of "$1") && kill -s KILL "$pid" 2>/dev/null
  for _ in {1..100}; do
    pids=$(pids_at_home "$1")
    [[ -n $pids ]] || break
    # shellcheck disable=SC2086 # one word per pid
    kill -s KILL $pids 2>/dev/null
    sleep 0.05
  done
  rm -f "$(record_of "$1")"
}

process_gone() { ! is_running "$1"; }

log_tail() { # NAME: its last log lines, for an error message
  say "last lines of $(log_of "$1"):"
  tail -n 15 "$(log_of "$1")" 2>/dev/null | sed 's/^/    /' >&2
}

memory_of() { # NAME: MiB of all its processes, shared pages counted by share
  local pid
  for pid in $(pids_at_home "$1"); do
    cat "/proc/$pid/smaps_rollup" 2>/dev/null || true
  done | awk '/^Pss:/ { kb += $2 } END { printf "%.0f\n", kb / 1024 }'
}

uptime_of() { # PID: as 1d02h, 3h07m, 4m12s, 12s
  local up seconds
  read -r up _ </proc/uptime
  seconds=$((${up%.*} - $(start_time "$1") / $(getconf CLK_TCK)))
  ((seconds > 0)) || seconds=0
  if ((seconds >= 86400)); then
    printf '%dd%02dh' $((seconds / 86400)) $((seconds / 3600 % 24))
  elif ((seconds >= 3600)); then
    printf '%dh%02dm' $((seconds / 3600)) $((seconds / 60 % 60))
  elif ((seconds >= 60)); then
    printf '%dm%02ds' $((seconds / 60)) $((seconds % 60))
  else
    printf '%ds' "$seconds"
  fi
}
