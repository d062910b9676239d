#!/bin/sh
# Succeeds if the next pod may be replaced: this node sees a complete cluster, and a replica has all data of its primary.
set -u
. "$(dirname "$0")/nodes.sh"

[ "$(say "$NODE" cluster_state)" = ok ] || exit 1
ask "$NODE" info replication | grep -q '^role:master' && exit 0
ask "$NODE" info replication | grep -q '^master_link_status:up'
