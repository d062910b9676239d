#!/bin/sh
# Runs after a node has started: tells its address to all other nodes. Usually one node that it knows would be enough, but
# if all pods have new addresses, no node can find another one.
set -u
. "$(dirname "$0")/nodes.sh"

until [ "$(ask "$NODE" ping 2>&1)" = PONG ]; do
    sleep 1
done
# A node that has never been in a cluster waits for the bootstrap.
[ "$(say "$NODE" cluster_known_nodes)" -gt 1 ] || exit 0
for node in $NODES; do
    # shellcheck disable=SC2046 # two words: address and port
    [ "$node" = "$NODE" ] || ask "$NODE" cluster meet $(address "$node")
done
