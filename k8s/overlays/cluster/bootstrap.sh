#!/bin/sh
# Makes one cluster of $NODES: the first half primaries, the others their replicas in the same order.
# Each step only does what is missing, so the script may be stopped and run again, also on a running cluster. It then
# introduces the nodes to each other, which repairs a cluster whose nodes all have new addresses, and makes a new node a
# replica.
set -eu
. "$(dirname "$0")/nodes.sh"

count=0
for node in $NODES; do
    until [ "$(ask "$node" ping 2>&1)" = PONG ]; do
        echo "waiting for $node"
        sleep 1
    done
    count=$((count + 1))
done
half=$((count / 2))
first=${NODES%% *}

for node in $NODES; do
    # shellcheck disable=SC2046 # two words: address and port
    [ "$node" = "$first" ] || ask "$first" cluster meet $(address "$node")
done
for node in $NODES; do
    until [ "$(say "$node" cluster_known_nodes)" -ge "$count" ]; do
        echo "$node does not know all others yet"
        sleep 1
    done
done

if [ "$(say "$first" cluster_slots_assigned)" -lt 16384 ]; then
    index=0
    for node in $NODES; do
        low=$((16384 * index / half))
        index=$((index + 1))
        [ "$index" -le "$half" ] || break
        mine=$(ask "$node" cluster nodes | awk '$3 ~ /myself/ { print NF - 8 }')
        # shellcheck disable=SC2046 # one word for each slot
        [ "$mine" -gt 0 ] || ask "$node" cluster addslots $(seq "$low" $((16384 * index / half - 1)))
    done
fi

# A node without slots becomes a replica of the node that is half the list away, or of that node's primary.
index=0
for node in $NODES; do
    partner=$(echo "$NODES" | cut -d ' ' -f $(((index + half) % count + 1)))
    index=$((index + 1))
    idle=$(ask "$node" cluster nodes | awk '$3 ~ /myself,master/ && NF == 8')
    while [ -n "$idle" ] && [ "$(ask "$node" cluster replicate "$(primary_of "$partner")" 2>&1)" != OK ]; do
        echo "$node does not know its primary yet"
        sleep 1
    done
done

for node in $NODES; do
    until [ "$(say "$node" cluster_state)" = ok ] && [ "$(say "$node" cluster_slots_ok)" = 16384 ]; do
        echo "waiting for $node to see all slots"
        sleep 1
    done
done
echo "the cluster serves all slots"
