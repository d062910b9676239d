# Shared by the scripts beside it. Nodes are host:port; the password is in REDISCLI_AUTH.

# ask NODE COMMAND...: send a command to a node; no answer within 5 s is an error.
ask() {
    node=$1
    shift
    timeout 5 redis-cli -h "${node%:*}" -p "${node##*:}" "$@"
}

# address NODE: the IP address and port of a node, for CLUSTER MEET, which accepts no names.
address() {
    found=$(getent hosts "${1%:*}") || return
    echo "${found%% *} ${1##*:}"
}

# say NODE FIELD: a field of the node's CLUSTER INFO.
say() {
    ask "$1" cluster info | tr -d '\r' | sed -n "s/^$2://p"
}

# primary_of NODE: the id of the node's primary, or its own id if it is a primary.
primary_of() {
    ask "$1" cluster nodes | awk '$3 ~ /myself/ { print $4 == "-" ? $1 : $4 }'
}
