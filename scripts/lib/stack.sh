# shellcheck shell=bash
# The local stack: its processes, their ports, configuration, start, stop and health. Source base.sh
# first.
#
# $FASTSTOCK_RUN_DIR/ holds credentials, conf/ (generated), data/NAME/ (home of each process),
# log/NAME.log and pid/NAME.

source "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

# A command that fails without a message of its own is not silent.
set -E
trap 'say "$(basename "$0"): failed: $BASH_COMMAND"' ERR

# Ctrl-C ends the command also where the program that runs at the moment takes no notice of it.
trap 'trap - INT; kill -INT $$' INT

STORES=(postgres redis pgbouncer)
SERVICES=(read-1 read-2 write-1 write-2)
NAMES=("${STORES[@]}" "${SERVICES[@]}" nginx) # in the order of starting

# NAME: path of a program of the PostgreSQL that made the data, or of the newest where there are
# none
pg_program() {
  local folders=(/usr/lib/postgresql/*/bin) version
  if { version=$(<"$(home_of postgres)/PG_VERSION"); } 2>/dev/null; then
    echo "/usr/lib/postgresql/$version/bin/$1"
  else
    echo "${folders[-1]}/$1"
  fi
}

# KIND (server, cli): the name of Valkey's program where it is installed, else of Redis's
redis_program() {
  if have valkey-server; then
    echo "valkey-$1"
  else
    echo "redis-$1"
  fi
}

check_name() { # NAME
  local name
  for name in "${NAMES[@]}"; do [[ $name == "$1" ]] && return; done
  usage_error "there is no '$1' in the stack; there are: ${NAMES[*]}"
}

variable_of() { # NAME: as a part of a variable's name, read-1 -> READ_1
  local upper=${1^^}
  echo "${upper//-/_}"
}

is_service() { [[ $1 == read-* || $1 == write-* ]]; }
program_of() { # NAME: read-1 -> read-svc
  case $1 in
    redis) redis_program server ;;
    read-* | write-*) echo "${1%-*}-svc" ;;
    *) echo "$1" ;;
  esac
}
binary_of() { echo "$ROOT/build/$FASTSTOCK_PRESET/$(program_of "$1")/$(program_of "$1")"; }

port_settings_of() { # NAME: names of the settings that hold its ports, the main one first
  case $1 in
    nginx) echo FASTSTOCK_PORT_EDGE FASTSTOCK_PORT_EDGE_STATUS ;;
    read-* | write-*)
      echo "FASTSTOCK_PORT_$(variable_of "$1") FASTSTOCK_PORT_$(variable_of "$1")_OPS"
      ;;
    *) echo "FASTSTOCK_PORT_$(variable_of "$1")" ;;
  esac
}

port_of() { # NAME: its main port
  local setting
  read -r setting _ <<<"$(port_settings_of "$1")"
  echo "${!setting}"
}

ops_url_of() { # SERVICE
  local setting
  setting=FASTSTOCK_PORT_$(variable_of "$1")_OPS
  echo "http://127.0.0.1:${!setting}"
}

# -- state folder

# root may do anything, and would take the files away from the user whose processes use them
check_owner() {
  local file=$FASTSTOCK_RUN_DIR/credentials
  [[ ! -e $file || -O $file ]] ||
    die "the stack in $FASTSTOCK_RUN_DIR belongs to $(stat -c %U "$file"): be that user, or set" \
      "FASTSTOCK_RUN_DIR"
}

prepare_state() { # makes the folders and the credentials, and says who will own the processes
  local dir name
  check_owner
  for dir in conf data log pid; do
    mkdir -p "$FASTSTOCK_RUN_DIR/$dir"
  done
  choose_owner
  make_credentials
  for name in "${NAMES[@]}"; do
    mkdir -p "$(home_of "$name")"
    chmod 700 "$(home_of "$name")"
  done
  ((EUID != 0)) || chown postgres: "$FASTSTOCK_RUN_DIR"/{conf,data,log} "$FASTSTOCK_RUN_DIR"/data/*
}

lock_stack() { # one command at a time changes the stack; the lock is held until the script ends
  mkdir -p "$FASTSTOCK_RUN_DIR" 2>/dev/null || true
  [[ -w $FASTSTOCK_RUN_DIR ]] || die "cannot write to $FASTSTOCK_RUN_DIR, which belongs to" \
    "$(stat -c %U "$FASTSTOCK_RUN_DIR" 2>/dev/null || echo nobody yet): be that user," \
    "or set FASTSTOCK_RUN_DIR"
  exec 9>>"$FASTSTOCK_RUN_DIR/lock"
  flock -w 120 9 || die "another command has been changing the stack for two minutes"
}

make_credentials() { # once; the passwords of the stack's own stores
  local file=$FASTSTOCK_RUN_DIR/credentials
  if [[ ! -e $file ]]; then
    (
      umask 077
      printf '%s=%s\n' PG_PASSWORD "$(random_password)" \
        REDIS_PASSWORD "$(random_password)" >"$file.new"
    )
    mv "$file.new" "$file"
  fi
  load_credentials
}

random_password() { od -An -N18 -tx1 /dev/urandom | tr -d ' \n'; }

load_credentials() { # sets the passwords and the URLs of the stores
  local file=$FASTSTOCK_RUN_DIR/credentials
  [[ -e $file ]] || die "there is no stack in $FASTSTOCK_RUN_DIR yet: ./dev up"
  [[ -r $file ]] || die "$file belongs to $(stat -c %U "$file"), who started this stack"
  # shellcheck source=/dev/null
  source "$file"
  DATABASE_URL=postgresql://faststock:$PG_PASSWORD@127.0.0.1:$FASTSTOCK_PORT_PGBOUNCER/faststock
  DIRECT_URL=postgresql://faststock:$PG_PASSWORD@127.0.0.1:$FASTSTOCK_PORT_POSTGRES/faststock
  PGBOUNCER_ADMIN_URL=${DATABASE_URL%/*}/pgbouncer
  REDIS_URL=redis://:$REDIS_PASSWORD@127.0.0.1:$FASTSTOCK_PORT_REDIS/0
  EDGE_URL=http://127.0.0.1:$FASTSTOCK_PORT_EDGE
  export DATABASE_URL DIRECT_URL PGBOUNCER_ADMIN_URL REDIS_URL EDGE_URL
}

# -- configuration: local/*.in with each @NAME@ replaced, NAME being a setting FASTSTOCK_NAME or a
# variable NAME

render() { # TEMPLATE FILE
  local text name value
  text=$(<"$ROOT/local/$1")
  while [[ $text =~ @([A-Z][A-Z0-9_]*)@ ]]; do
    name=${BASH_REMATCH[1]}
    if [[ -v FASTSTOCK_$name ]]; then
      value=FASTSTOCK_$name
    elif [[ -v $name ]]; then
      value=$name
    else
      die "local/$1: nothing is known for @$name@"
    fi
    text=${text//"@$name@"/"${!value}"}
  done
  (
    umask 077
    printf '%s\n' "$text" >"$CONF/$2.new"
  )
  ((EUID != 0)) || chown postgres: "$CONF/$2.new"
  mv "$CONF/$2.new" "$CONF/$2"
}

# shellcheck disable=SC2034 # the templates name the variables
configure() { # NAME: writes its configuration
  local CONF=$FASTSTOCK_RUN_DIR/conf
  local DATA=$FASTSTOCK_RUN_DIR/data LOG=$FASTSTOCK_RUN_DIR/log PID=$FASTSTOCK_RUN_DIR/pid
  local PGBOUNCER_PREPARED=''
  case $1 in
    postgres)
      render postgresql.conf.in postgresql.conf
      render pg_hba.conf.in pg_hba.conf
      ;;
    pgbouncer)
      ! pgbouncer_keeps_statements || PGBOUNCER_PREPARED='max_prepared_statements = 200'
      render pgbouncer.ini.in pgbouncer.ini
      render pgbouncer-users.txt.in pgbouncer-users.txt
      ;;
    redis) render redis.conf.in redis.conf ;;
    nginx) configure_edge ;;
    prometheus) configure_prometheus ;;
    *) configure_service "$1" ;;
  esac
}

# Does the installed PgBouncer know statements that are prepared by name? Since 1.21.
pgbouncer_keeps_statements() {
  local version
  version=$(/usr/sbin/pgbouncer --version | sed -n 's/^PgBouncer \([0-9.]*\).*/\1/p')
  [[ $(printf '%s\n' 1.21 "$version" | sort -V | head -1) == 1.21 ]]
}

# shellcheck disable=SC2034 # the template names the variables
configure_service() { # NAME
  local PORT PORT_OPS port ops DATABASE_PREPARED=off
  ! pgbouncer_keeps_statements || DATABASE_PREPARED=on
  read -r port ops <<<"$(port_settings_of "$1")"
  PORT=${!port} PORT_OPS=${!ops}
  render "$(program_of "$1").yaml.in" "$1.yaml"
}

# shellcheck disable=SC2034 # the template names the variables
configure_edge() {
  local RATE_LIMIT_ZONE='' RATE_LIMIT_USE='' RATE_LIMIT_WINDOW_S=1
  if [[ $FASTSTOCK_RATE_LIMIT != off ]]; then
    [[ $FASTSTOCK_RATE_LIMIT =~ ^([1-9][0-9]*)r/([sm])$ ]] ||
      die "FASTSTOCK_RATE_LIMIT must be off or a rate like 100r/s or 30r/m, not" \
        "'$FASTSTOCK_RATE_LIMIT'"
    local rate=${BASH_REMATCH[1]}
    [[ ${BASH_REMATCH[2]} == s ]] || RATE_LIMIT_WINDOW_S=$(((60 + rate - 1) / rate))
    RATE_LIMIT_ZONE="limit_req_zone \$binary_remote_addr zone=client:10m"
    RATE_LIMIT_ZONE+=" rate=$FASTSTOCK_RATE_LIMIT;"
    RATE_LIMIT_USE="limit_req zone=client burst=$rate nodelay;"
  fi
  render nginx.conf.in nginx.conf
}

# Its rules and the page of graphs are those of the chart.
configure_prometheus() {
  local service targets=()
  for service in "${SERVICES[@]}"; do targets+=("$service=$(ops_url_of "$service")"); done
  mkdir -p "$CONF/consoles"
  PYTHONPATH=$ROOT/scripts/lib PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m monitoring \
    "$CONF" "$(port_of prometheus)" "${targets[@]}"
}

command_of() { # NAME: sets the array `command`
  local conf=$FASTSTOCK_RUN_DIR/conf
  case $1 in
    postgres)
      command=("$(pg_program postgres)" -D "$(home_of postgres)"
        -c "config_file=$conf/postgresql.conf" -c "hba_file=$conf/pg_hba.conf")
      ;;
    redis) command=("$(redis_program server)" "$conf/redis.conf") ;;
    pgbouncer) command=(/usr/sbin/pgbouncer "$conf/pgbouncer.ini") ;;
    nginx) command=(/usr/sbin/nginx -e stderr -p "$(home_of nginx)" -c "$conf/nginx.conf") ;;
    prometheus)
      command=(/usr/bin/prometheus "--config.file=$conf/prometheus.yml"
        "--storage.tsdb.path=$(home_of prometheus)" --storage.tsdb.retention.time=1d
        "--web.listen-address=127.0.0.1:$(port_of prometheus)" '--web.cors.origin=^$'
        "--web.console.templates=$conf/consoles" "--web.console.libraries=$conf/consoles"
        --log.level=warn)
      ;;
    # the stores' URLs are in the environment
    *) command=(env -u PORT "$(binary_of "$1")" --config "$conf/$1.yaml") ;;
  esac
}

# NAME: of its command, configuration, binary and the settings that come by environment
wanted_fingerprint() {
  local file=$FASTSTOCK_RUN_DIR/conf/$1
  {
    printf '%s\n' "${command[@]}"
    cat "$file".* "$FASTSTOCK_RUN_DIR/credentials"
    [[ $1 == postgres ]] && cat "$FASTSTOCK_RUN_DIR/conf/postgresql.conf"
    if is_service "$1"; then
      stat -c '%i %s %Y' "$(binary_of "$1")"
      local names='FASTSTOCK_(HTTP|OPS|DATABASE|REDIS|CACHE|CATALOG|AUTH|LOG)_'
      env | grep -E "^($names|[A-Z]+_REPLICA_URL=|[A-Z]+SAN_OPTIONS=)" | sort || true
    fi
  } 2>/dev/null | sha256sum | cut -c1-32
}

check_settings() { # NAME: dies when it could not start with its configuration, by `command`
  ! is_service "$1" || [[ ! -x $(binary_of "$1") ]] || "${command[@]}" --check-config >/dev/null ||
    die "$1 would not start with these settings"
}

# -- start

start() { # NAME: unless it runs already as it should
  local name=$1 command fingerprint
  configure "$name"
  command_of "$name"
  fingerprint=$(wanted_fingerprint "$name")
  if is_running "$name"; then
    if [[ -e $(leaving_mark_of "$name") ]]; then
      step "$name: is still ending"
    elif [[ $(fingerprint_of "$name") != "$fingerprint" ]]; then
      step "$name: its program or settings have changed"
    else
      return 0
    fi
    check_settings "$name"
  else
    kill_process "$name" # what a crash may have left of it
  fi
  # before it is stopped, so that it runs on when it could not start again
  is_service "$name" && [[ ! -x $(binary_of "$name") ]] &&
    die "$(binary_of "$name") is missing: ./dev build"
  check_ports_free "$name"
  ! is_running "$name" || stop "$name"
  [[ $name != postgres ]] || prepare_database
  start_process "$name" "$fingerprint" "${command[@]}"
  step "$name started on port $(port_of "$name")"
}

check_ports_free() { # NAME: but for those that it has itself
  local setting port listener own
  own=$(pid_of "$1") || own=none
  for setting in $(port_settings_of "$1"); do
    port=${!setting}
    listener=$(ss -Hltnp "sport = :$port") ||
      die "cannot ask for the listener of port $port: ss failed"
    [[ -z $listener || $listener == *"pid=$own,"* ]] ||
      die "port $port ($setting), wanted by $1, is taken by $(listener_name "$listener");" \
        "stop that, or choose other ports with $setting or FASTSTOCK_PORT_BASE"
  done
}

say_held_ports() { # NAME: a port that an outgoing connection has cannot be listened on
  local setting port held first
  read -r first _ </proc/sys/net/ipv4/ip_local_port_range
  for setting in $(port_settings_of "$1"); do
    port=${!setting}
    held=$(ss -Htnp "sport = :$port" | head -n 1)
    [[ -z $held ]] ||
      warn "port $port ($setting) belongs to a connection of $(listener_name "$held"), because" \
        "the system takes ports from $first on for these: choose FASTSTOCK_PORT_BASE below that"
  done
}

listener_name() { # LINE OF ss: program and pid, when it may be known
  if [[ $1 =~ \(\(\"([^\"]+)\",pid=([0-9]+) ]]; then
    echo "${BASH_REMATCH[1]} (pid ${BASH_REMATCH[2]})"
  else
    echo "a process of another user"
  fi
}

prepare_database() { # makes the cluster, and forgets the lock file of a postmaster that is no more
  local data
  data=$(home_of postgres)
  rm -f "$data/postmaster.pid" # kill_process has seen to it that nobody runs there
  if [[ -e $data/PG_VERSION ]]; then
    [[ -x $(pg_program postgres) ]] ||
      die "PostgreSQL $(<"$data/PG_VERSION") made the data in $data and is not installed any" \
        "more: install it," \
        "or begin anew with ./dev down --delete-data"
    return 0
  fi
  step "postgres: making the database cluster"
  find "$data" -mindepth 1 -delete # of an attempt that was interrupted
  (
    umask 077
    echo "$PG_PASSWORD" >"$FASTSTOCK_RUN_DIR/conf/password"
  )
  ((EUID != 0)) || chown postgres: "$FASTSTOCK_RUN_DIR/conf/password"
  "${as_owner[@]}" "$(pg_program initdb)" -D "$data" \
    --username=faststock --pwfile="$FASTSTOCK_RUN_DIR/conf/password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >"$(log_of postgres)" 2>&1 ||
    { log_tail postgres && die "initdb failed"; }
  rm "$FASTSTOCK_RUN_DIR/conf/password"
}

wait_ready() { # NAME: until it answers; dies with its log when it ends or does not in time
  local name=$1 until=$((SECONDS + 60))
  until is_answering "$name"; do
    is_running "$name" || { log_tail "$name" && say_held_ports "$name" && die "$name has ended"; }
    ((SECONDS < until)) || {
      log_tail "$name" && die "$name does not answer on port $(port_of "$name") within 60 s"
    }
    sleep 0.1
  done
  if [[ $name == postgres ]]; then
    make_database
    ! is_running pgbouncer || wait_until 10 ask_pgbouncer ||
      die "PgBouncer does not reach PostgreSQL; ./dev logs pgbouncer"
  fi
  case $name in postgres | pgbouncer) wait_for_writers ;; esac
  rm -f "$(leaving_mark_of "$name")"
}

# Each writer asks for its store again by itself, a moment after that is back.
wait_for_writers() {
  local name
  for name in "${NAMES[@]}"; do
    [[ $name == write-* ]] || continue
    { is_running postgres && is_running pgbouncer && is_running "$name"; } || continue
    wait_until 10 is_answering "$name" || die "$name does not reach PostgreSQL; ./dev logs $name"
  done
}

make_database() {
  PGPASSWORD=$PG_PASSWORD psql -X -q \
    -d "host=127.0.0.1 port=$FASTSTOCK_PORT_POSTGRES user=faststock dbname=postgres" \
    -v ON_ERROR_STOP=1 >/dev/null <<<"SELECT 'CREATE DATABASE faststock' WHERE NOT EXISTS
      (SELECT FROM pg_database WHERE datname = 'faststock') \gexec"
}

# it refuses clients for a second after it has missed the server (server_login_retry)
ask_pgbouncer() {
  PGPASSWORD=$PG_PASSWORD psql -X -q -c 'SELECT 1' \
    -d "host=127.0.0.1 port=$FASTSTOCK_PORT_PGBOUNCER user=faststock dbname=faststock"
}

is_answering() { # NAME
  case $1 in
    postgres | pgbouncer)
      "$(pg_program pg_isready)" -q -h 127.0.0.1 -p "$(port_of "$1")" -U faststock -d faststock -t 2
      ;;
    redis)
      [[ $(REDISCLI_AUTH=$REDIS_PASSWORD timeout 2 "$(redis_program cli)" -h 127.0.0.1 \
        -p "$(port_of redis)" ping 2>/dev/null) == PONG ]]
      ;;
    prometheus) curl -sf -m 2 -o /dev/null "http://127.0.0.1:$(port_of prometheus)/-/ready" ;;
    nginx) curl -sf -m 2 -o /dev/null "http://127.0.0.1:$FASTSTOCK_PORT_EDGE_STATUS/health" ;;
    *) curl -sf -m 2 -o /dev/null "$(ops_url_of "$1")/readyz" ;;
  esac
}

# -- stop

# The edge sends no more writes to a service that has this file, as a cluster's ingress sends none
# to a pod that is leaving: a POST that reached it in the instant in which it closes its port could
# not be sent to the other instance.
leaving_mark_of() { echo "$FASTSTOCK_RUN_DIR/pid/$1.leaving"; }

stop() { # NAME: gracefully
  local name=$1 signal=TERM seconds=20
  case $name in
    postgres) signal=INT seconds=30 ;; # fast shutdown: ends sessions, writes a checkpoint
    pgbouncer) signal=INT seconds=5 ;; # after the transactions that are open
    nginx) signal=QUIT seconds=5 ;;    # after the requests that are open
  esac
  if ! is_running "$name"; then
    kill_process "$name"
    return 0
  fi
  touch "$(leaving_mark_of "$name")"
  stop_process "$name" "$signal" "$seconds"
  step "$name stopped"
}
