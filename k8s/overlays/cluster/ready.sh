#!/bin/sh
# Whether the next pod may be touched: this node sees a whole cluster, and has, as a replica, all that its primary has.
set -u
. "$(dirname "$0")/nodes.sh"

[ "$(say "$NODE" cluster_state)" = ok ] || exit 1
ask "$NODE" info replication | grep -q '^role:master' && exit 0
ask "$NODE" info replication | grep -q '^master_link_status:up'
