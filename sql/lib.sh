# shellcheck shell=bash
# Shared by the database commands. Needs bash, psql and coreutils only, so that it runs in a small
# container.

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

url_decode() { # TEXT: with its %XX decoded
  local text=${1//\\/\\\\}
  printf '%b' "${text//%/\\x}"
}

# Takes the password out of a URL, so that neither `ps` nor a message shows it: psql gets it from
# PGPASSWORD.
use_database() { # URL
  local url=$1 scheme rest userinfo
  [[ $url == postgres://* || $url == postgresql://* ]] ||
    die "a database URL must look like postgresql://user:password@host:port/database"
  scheme=${url%%://*} rest=${url#*://}
  userinfo=${rest%%[/?]*}
  DB=$url
  [[ $userinfo == *@* ]] || return 0
  userinfo=${userinfo%@*} rest=${rest#"$userinfo"@}
  if [[ $userinfo == *:* ]]; then
    PGPASSWORD=$(url_decode "${userinfo#*:}")
    export PGPASSWORD
  fi
  DB=$scheme://${userinfo%%:*}@$rest
}

# One psql session: no start-up file, no prompt for a password, stops at the first error.
run_psql() {
  PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-3} \
    psql "$DB" --no-psqlrc --no-password --quiet --set ON_ERROR_STOP=1 "$@"
}

wait_for_database() { # SECONDS
  local until=$((SECONDS + $1)) answer told=
  until answer=$(run_psql --command 'SELECT 1' 2>&1); do
    ((SECONDS < until)) || die "no answer from $DB within $1 s: $answer"
    [[ -n $told ]] || echo "waiting up to $1 s for $DB"
    told=yes
    sleep 0.5
  done
}
