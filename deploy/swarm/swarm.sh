#!/usr/bin/env bash
# Runs the product on Docker Swarm. Run this script on a manager, in a checkout with .env. docs/scaling.md explains each command.
#
#   swarm.sh deploy [TAG]            start the stack, or apply a changed .env. The default TAG is the tag of the running image
#   swarm.sh update [TAG]            replace the running image by TAG. The default TAG is the revision of this checkout
#   swarm.sh add-node ENGINE [IP]    add a machine and start a proxy and a webhook on it. ENGINE is an address such as
#                                    ssh://root@10.0.0.5. IP is the private address to use if the machine has several of them
#   swarm.sh remove-node NODE        settle the deliveries that wait on a node, and remove the node
#   swarm.sh send-image ENGINE…      load the running image onto machines
#   swarm.sh dashboards              open Grafana on 127.0.0.1, until Ctrl-C
#   swarm.sh status                  show the nodes and the services
set -euo pipefail

# shellcheck source=deploy/swarm/stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

labels=(database webhook ingress monitoring)
public_labels=(webhook ingress)

usage() {
    sed -n '2,/^set /{s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
}

main() {
    local command=${1:-}
    [ $# -eq 0 ] || shift
    case $command in
        deploy) [ $# -le 1 ] || usage ;;
        update) [ $# -le 1 ] || usage ;;
        add-node) [ $# -eq 1 ] || [ $# -eq 2 ] || usage ;;
        remove-node) [ $# -eq 1 ] || usage ;;
        send-image) [ $# -ge 1 ] || usage ;;
        dashboards | status) [ $# -eq 0 ] || usage ;;
        *) usage ;;
    esac
    require_manager
    [[ $command =~ ^(dashboards|status)$ ]] || lock
    "${command//-/_}" "$@"
}

# Commands ----------------------------------------------------------------------------------------------------------------------

deploy() {
    refuse_beside_compose
    was_running=$(running_tag)
    read_settings "${1:-${was_running:-$(revision)}}"
    get_image
    label_first_node
    distribute
    roll_out
    say "The stack runs with $image. The door is https://$PUBLIC_HOST/bmc-webhook."
}

update() {
    was_running=$(running_tag)
    [ -n "$was_running" ] || fail "the stack does not run: start it with $program deploy"
    read_settings "${1:-$(revision)}"
    get_image
    distribute
    roll_out
    say "Updated from $was_running to $IMAGE_TAG."
}

add_node() {
    local engine=$1 address=${2:-} node
    was_running=$(running_tag)
    [ -n "$was_running" ] || fail "the stack does not run: start it with $program deploy"
    read_settings "$was_running"
    node=$(node_of "$engine") || fail "the engine $engine does not answer"
    if [ -z "$node" ]; then
        join "$engine" "$address"
        node=$(node_of "$engine")
    fi
    docker node inspect "$node" >/dev/null 2>&1 || fail "the machine of $engine belongs to another Swarm: run docker swarm leave there"
    docker node update --label-add "ledger.engine=$engine" "$node" >/dev/null
    distribute
    say "Preparing the node, and the database for one more webhook …"
    set_label "$node" webhook
    write_state
    run_jobs
    set_label "$node" ingress
    wait_for webhook proxy || fail "the node was added, but its services are not ready: see $program status"
    say "Added. Add an A record with the public address of the new machine to the name $PUBLIC_HOST."
}

remove_node() {
    local node
    node=$(docker node inspect --format '{{.ID}}' "$1" 2>/dev/null) || fail "there is no node $1: see docker node ls"
    [ "$node" != "$(docker info --format '{{.Swarm.NodeID}}')" ] || fail "this node cannot remove itself: run the command on another manager"
    ! has_label "$node" database || fail "the database is on $1: docs/scaling.md says how to move it"
    ! has_label "$node" monitoring || fail "the monitoring is on $1: give the label ledger.monitoring to another node first"
    read_settings "$(running_tag)"
    if is_ready "$node"; then
        settle_spool "$node"
        docker node update --availability drain "$node" >/dev/null
        wait_until_ended "$node" '.*'
        wait_for bot janitor || fail "the node is empty, but services elsewhere are not ready: see $program status"
        leave "$node"
    else
        say "The node does not answer. If its spool held deliveries, they are lost unless the node comes back."
    fi
    docker node demote "$node" >/dev/null 2>&1 || true
    retry docker node rm --force "$node" >/dev/null
    say "Removed. Delete the A record of its public address."
}

send_image() {
    local engine
    read_settings "$(running_tag)"
    for engine in "$@"; do
        send_to "$engine"
    done
}

dashboards() {
    local port container
    read_settings "$(running_tag)"
    port=${GRAFANA_PORT:-3000}
    # Swarm cannot publish a port on 127.0.0.1 only. So start a container that is not part of the Swarm. It passes connections
    # on to Grafana.
    container=$(docker create --publish "127.0.0.1:$port:3000" --read-only --tmpfs /config --tmpfs /data \
        "$(service_image proxy)" caddy reverse-proxy --from http://:3000 --to grafana:3000)
    # shellcheck disable=SC2064 # expand $container now, because it is local to this function
    trap "docker rm --force $container >/dev/null" EXIT
    docker network connect "${stack}_edge" "$container"
    docker start "$container" >/dev/null
    say "Open http://127.0.0.1:$port as admin. The password is in $state/secrets/grafana/admin_password. End with Ctrl-C."
    docker wait "$container" >/dev/null
}

status() {
    docker node ls
    docker service ls --filter "label=com.docker.stack.namespace=$stack"
}

# Settings and images -----------------------------------------------------------------------------------------------------------

# Refuse to run while another command changes the stack from this checkout.
lock() {
    command -v flock >/dev/null || fail "the program flock is missing: install the package util-linux"
    exec 9<"$here"
    flock --nonblock 9 || fail "another $program is running: wait until it has ended, and try again"
}

require_manager() {
    [ "$(docker info --format '{{.Swarm.ControlAvailable}}')" = true ] || fail "this machine is not a manager of a Swarm." \
        "To make the first node of one, run: docker swarm init --advertise-addr ADDRESS, with the private address of this machine"
}

revision() {
    git -C "$root" rev-parse --short HEAD 2>/dev/null || echo local
}

service_image() {
    docker service inspect --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}' "${stack}_$1" 2>/dev/null
}

# Print the tag of the running image, or nothing if the stack does not run.
running_tag() {
    local running
    running=$(service_image webhook) || return 0
    running=${running%@*}
    echo "${running##*:}"
}

get_image() {
    ! docker image inspect "$image" >/dev/null 2>&1 || return 0
    if has_registry; then
        say "Pulling $image …"
        docker pull --quiet "$image" >/dev/null || fail "$image is not in the registry: build it and push it, see docs/scaling.md"
    elif [ "$IMAGE_TAG" = "$(revision)" ]; then
        say "Building $image …"
        REVISION=$IMAGE_TAG prepare build --quiet secrets
    else
        fail "there is no image $image on this machine, and only $(revision) can be built from this checkout"
    fi
}

# If the image is not in a registry, send it to each node that lacks it.
distribute() {
    local node engine
    ! has_registry || return 0
    for node in $(nodes_without_image); do
        engine=$(docker node inspect --format '{{index .Spec.Labels "ledger.engine"}}' "$node")
        [ -n "$engine" ] || fail "the node $(node_name "$node") lacks the image $image, and this script does not know how to reach it." \
            "Say so once: docker node update --label-add ledger.engine=ssh://USER@HOST $node"
        send_to "$engine"
    done
}

send_to() {
    say "Sending $image to $1 …"
    docker save "$image" | docker --host "$1" load --quiet >/dev/null || fail "$image could not be sent to $1"
}

# Print the ids of the nodes on which the image cannot start. To find them, start the image on each node with the command `true`,
# which does nothing. Skip nodes that are down. After a node is back, the next `deploy` or `update` sends the image to this node.
nodes_without_image() {
    local job=${stack}_image-check node tried
    docker service rm "$job" >/dev/null 2>&1 || true
    retry docker service create --quiet --detach --name "$job" --mode global-job --restart-condition none --no-resolve-image \
        --entrypoint true --no-healthcheck "$image" >/dev/null
    for node in $(docker node ls --quiet); do
        ! is_ready "$node" || for _ in $(seq 60); do
            sleep 1
            tried=$(docker service ps --quiet "$job" | xargs -r docker inspect --type task --format '{{.NodeID}} {{.Status.State}}')
            ! grep -qxF -- "$node complete" <<<"$tried" || break
            ! grep -qxE -- "$node (failed|rejected)" <<<"$tried" || { echo "$node"; break; }
        done
    done
    docker service rm "$job" >/dev/null
}

# Nodes -------------------------------------------------------------------------------------------------------------------------

nodes_with() {
    docker node ls --quiet --filter "node.label=ledger.$1=true"
}

has_label() {
    [ "$(docker node inspect --format "{{index .Spec.Labels \"ledger.$2\"}}" "$1")" = true ]
}

set_label() {
    docker node update --label-add "ledger.$2=true" "$1" >/dev/null
}

node_name() {
    docker node inspect --format '{{.Description.Hostname}}' "$1"
}

is_ready() {
    [ "$(docker node inspect --format '{{.Status.State}}' "$1")" = ready ]
}

# Print the node id of the Docker engine $1, or nothing if it belongs to no Swarm. Fail if the engine does not answer.
node_of() {
    docker --host "$1" version >/dev/null 2>&1 && docker --host "$1" info --format '{{.Swarm.NodeID}}'
}

# If no node has any of our labels, this is the first deployment. In this case, give all labels to this node.
label_first_node() {
    local label
    for label in "${labels[@]}"; do
        [ -z "$(nodes_with "$label")" ] || return 0
    done
    say "Everything runs on this node: it gets the labels ${labels[*]/#/ledger.}."
    for label in "${labels[@]}"; do
        set_label "$(docker info --format '{{.Swarm.NodeID}}')" "$label"
    done
}

join() {
    local token
    say "Joining the Swarm …"
    token=$(docker swarm join-token --quiet worker)
    docker --host "$1" swarm join --token "$token" ${2:+--advertise-addr "$2"} "$(docker info --format '{{.Swarm.NodeAddr}}'):2377" >/dev/null ||
        fail "$1 could not join: see docs/scaling.md for the ports between the nodes"
    # Replace the join token by a new one, because other users of this machine and of the new node may have seen the old token
    # in the list of processes.
    docker swarm join-token --rotate --quiet worker >/dev/null
}

leave() {
    local engine
    engine=$(docker node inspect --format '{{index .Spec.Labels "ledger.engine"}}' "$1")
    if [ -n "$engine" ]; then
        docker --host "$engine" swarm leave --force >/dev/null || say "Run docker swarm leave on that machine."
    else
        say "Run docker swarm leave on that machine."
    fi
}

# Wait until containers on the node $1 have finished their work and ended. The pattern $2 selects the containers by the names of
# their services.
wait_until_ended() {
    local end=$((SECONDS + 90))
    while grep -qE "^${stack}_($2)\.[^ ]* Running" <<<"$(docker node ps --format '{{.Name}} {{.CurrentState}}' "$1")"; do
        [ $SECONDS -lt $end ] || fail "containers on $(node_name "$1") do not end: see docker node ps $1"
        sleep 1
    done
}

# Stop the proxy and the webhook of the node $1, and check that no deliveries wait in the spool of the node. If deliveries wait,
# start the proxy and the webhook again and fail. The webhook then settles the deliveries.
settle_spool() {
    local label
    say "Stopping the proxy and the webhook of the node …"
    for label in "${public_labels[@]}"; do
        docker node update --label-rm "ledger.$label" "$1" >/dev/null 2>&1 || true
    done
    wait_until_ended "$1" 'webhook|proxy'
    ! is_spool_empty "$1" || return 0
    for label in "${public_labels[@]}"; do
        set_label "$1" "$label"
    done
    fail "deliveries wait in the spool of the node, so its webhook was started again. It settles them as soon as it reaches the" \
        "database. Try again then. If files remain whose names end in .unreadable, see docs/runbook.md"
}

is_spool_empty() {
    local job=${stack}_spool-check state
    docker service rm "$job" >/dev/null 2>&1 || true
    # shellcheck disable=SC2016 # the shell in the container expands $(…)
    retry docker service create --quiet --detach --name "$job" --mode replicated-job --restart-condition none --no-resolve-image \
        --constraint "node.id==$1" --mount "type=volume,source=${stack}_spool,target=/spool" \
        --entrypoint sh --no-healthcheck "$image" -c '[ -z "$(ls -A /spool)" ]' >/dev/null
    for _ in $(seq 60); do
        sleep 1
        state=$(docker service ps --format '{{.CurrentState}}' "$job" | head -n 1)
        case $state in
            Complete* | Failed* | Rejected*) break ;;
        esac
    done
    docker service rm "$job" >/dev/null
    [[ $state == Complete* ]]
}

# Run a command until it succeeds, for up to half a minute. It may fail at first, for example while an old service of the same
# name is still ending.
retry() {
    local _
    for _ in $(seq 30); do
        ! "$@" 2>/dev/null || return 0
        sleep 1
    done
    "$@"
}

# Run no command if another script, such as a test, reads this file with `source`.
[ "${BASH_SOURCE[0]}" != "$0" ] || main "$@"
