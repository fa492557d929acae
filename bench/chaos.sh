#!/usr/bin/env bash
# Has 50 clients work at three gateways on one store, while a script kills, stops and cuts off whatever there is.
#
#   bench/chaos.sh redis|valkey|postgres [--operations N] [--seed N]
#
# Needs redis-server, valkey-server or PostgreSQL. Everything is on loopback and ends with the script.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

case "${1-}" in
  redis) test=nothing_is_lost_or_spent_twice_in_ten_thousand_operations ;;
  valkey) test=nothing_is_lost_or_spent_twice_on_valkey_in_ten_thousand_operations ;;
  postgres) test=nothing_is_lost_or_spent_twice_in_a_database_in_ten_thousand_operations ;;
  *) usage ;;
esac
shift

while [ $# -gt 0 ]; do
  case "$1" in
    --operations) export REPLICAS_OPERATIONS=$2 ;;
    --seed) export REPLICAS_SEED=$2 ;;
    *) usage ;;
  esac
  shift 2
done

exec cargo test -q -p entrada-gateway --test replicas -- --ignored --exact --nocapture "$test"
