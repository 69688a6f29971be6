# shellcheck shell=bash
# Shared by the stories of this folder: a product that is sold and read. Sourced after cluster.sh;
# `fullname` is the prefix of the release's objects, `OUT` a folder for logs.

# The Service is forwarded, because not every cluster's Services are reached from here.
api() { # SERVICE PATH CURL OPTIONS...
  local path=$2 log=$OUT/port-forward.log pid answer status=0
  rm -f "$log" # of the call before
  k port-forward "service/${fullname:?}-$1" :http >"$log" 2>&1 &
  pid=$!
  wait_until 20 grep -q '^Forwarding from 127' "$log" || die "no way to $1: $(cat "$log")"
  answer=$(curl -fsS -m 5 "${@:3}" \
    "http://$(sed -n 's/^Forwarding from \(127[^ ]*\) .*/\1/p' "$log")$path") || status=$?
  kill "$pid"
  echo "$answer"
  return "$status"
}
stock() { api read-svc /api/products/1/stock | sed 's/.*"stock":\([0-9]*\).*/\1/'; }
sell() {
  api write-svc /api/products/1/update-stock --json '{"delta": -1}' >/dev/null
}
is_stock() { (($(stock) == $1)); } # NUMBER
expect_sale() { # sells one piece and sees it sold
  local before
  before=$(stock)
  sell
  wait_until 10 is_stock $((before - 1)) || die "a read does not see the write"
}
