#!/bin/sh
# Starts Redis with the redis.conf beside this file, the password and the pod's address.
set -eu
: "${REDIS_PASSWORD:?fill in secret.env}"
here=$(dirname "$0")
cluster=
if [ -e "$here/cluster.conf" ]; then
    cluster="include $here/cluster.conf
cluster-announce-ip $POD_IP"
fi
# The password is sent on standard input, because all users of the machine can see arguments.
exec redis-server "$here/redis.conf" - <<END
requirepass $REDIS_PASSWORD
masterauth $REDIS_PASSWORD
$cluster
END
