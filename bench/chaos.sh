#!/usr/bin/env bash
# Has 50 clients work at three gateways on one Redis, while a script kills, stops and cuts off whatever there is.
#
#   bench/chaos.sh [--operations N] [--seed N]
#
# Needs redis-server. Everything is on loopback and ends with the script.
set -euo pipefail
cd "$(dirname "$0")/.."

while [ $# -gt 0 ]; do
  case "$1" in
    --operations) export REPLICAS_OPERATIONS=$2 ;;
    --seed) export REPLICAS_SEED=$2 ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift 2
done

exec cargo test -q -p entrada-gateway --test replicas -- --ignored --exact --nocapture \
  nothing_is_lost_or_spent_twice_in_ten_thousand_operations
