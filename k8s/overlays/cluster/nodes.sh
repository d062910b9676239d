# Shared by the scripts beside it. Nodes are host:port; the password is in REDISCLI_AUTH.

# ask NODE COMMAND...: one command to one node; nothing within 5 s counts as an error.
ask() {
    node=$1
    shift
    timeout 5 redis-cli -h "${node%:*}" -p "${node##*:}" "$@"
}

# address NODE: its address and port as CLUSTER MEET wants them, which knows no names.
address() {
    found=$(getent hosts "${1%:*}") || return
    echo "${found%% *} ${1##*:}"
}

# say NODE FIELD: a field of its CLUSTER INFO.
say() {
    ask "$1" cluster info | tr -d '\r' | sed -n "s/^$2://p"
}

# primary_of NODE: the id of its primary; its own where it is one.
primary_of() {
    ask "$1" cluster nodes | awk '$3 ~ /myself/ { print $4 == "-" ? $1 : $4 }'
}
