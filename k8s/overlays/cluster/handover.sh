#!/bin/sh
# Runs before a node is stopped: a primary lets its replica take over, so that no write is lost. Without this, the cluster
# would notice the end of the primary only after cluster-node-timeout.
set -u
. "$(dirname "$0")/nodes.sh"

role() {
    ask "$NODE" role | head -n 1
}

[ "$(role)" = master ] || exit 0
me=$(primary_of "$NODE")
replica=$(ask "$NODE" cluster replicas "$me" |
    awk '$3 !~ /fail/ && $8 == "connected" { sub(/@.*/, "", $2); print $2; exit }')
[ -n "$replica" ] || exit 0
ask "$replica" cluster failover
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ "$(role)" = master ] || exit 0
    sleep 1
done
