#!/bin/sh
# After a start: tells all other nodes where this one is now. They would hear it from those that it still finds; but
# when all pods came back with new addresses, nobody finds anybody.
set -u
. "$(dirname "$0")/nodes.sh"

until [ "$(ask "$NODE" ping 2>&1)" = PONG ]; do
    sleep 1
done
# A node that never was in a cluster waits for the bootstrap.
[ "$(say "$NODE" cluster_known_nodes)" -gt 1 ] || exit 0
for node in $NODES; do
    # shellcheck disable=SC2046 # two words: address and port
    [ "$node" = "$NODE" ] || ask "$NODE" cluster meet $(address "$node")
done
