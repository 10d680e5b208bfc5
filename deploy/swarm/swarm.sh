#!/usr/bin/env bash
# Runs the product on Docker Swarm. Run this script on a manager, in a checkout with .env. docs/scaling.md explains each command.
#
#   swarm.sh deploy [TAG]            start the stack, or apply a changed .env. TAG is that of the image, by default the running one
#   swarm.sh update [TAG]            replace the image by TAG, by default the revision of this checkout
#   swarm.sh add-node ENGINE [IP]    add a machine and start a proxy and a webhook on it. ENGINE is such as ssh://root@10.0.0.5.
#                                    IP is its private address, if it has several
#   swarm.sh remove-node NODE        settle what waits on a node, and remove it
#   swarm.sh send-image ENGINE…      load the running image onto machines
#   swarm.sh dashboards              open Grafana on 127.0.0.1, until Ctrl-C
#   swarm.sh status                  show the nodes and the services
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$(basename "$0")

stack=${STACK:-coffee-ledger}
state=${STATE:-$here/state}
env_file=${ENV_FILE:-$root/.env}
override=${STACK_OVERRIDE:-$root/stack.override.yaml}
wait_seconds=${WAIT_SECONDS:-300}

labels=(database webhook ingress monitoring)
public_labels=(webhook ingress)
going_back=no
jobs=(volumes migrate)

# The state contains secrets, so only its owner may read it.
umask 077

fail() {
    echo "$program: $*" >&2
    exit 1
}

say() {
    echo "$*" >&2
}

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
    node=$(node_of "$engine") || join "$engine" "$address"
    node=$(node_of "$engine") || fail "$engine is no node of this Swarm"
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
    # Swarm cannot publish a port on 127.0.0.1 only. So a container of this machine passes the connections on.
    container=$(docker create --publish "127.0.0.1:$port:3000" --read-only --tmpfs /config --tmpfs /data \
        "$(service_image proxy)" caddy reverse-proxy --from http://:3000 --to grafana:3000)
    # shellcheck disable=SC2064 # the container is known now
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

# Let Compose read .env, and let the one-shot services of compose.yaml check it and write files, as on a single machine.
prepare() {
    docker compose --progress quiet --env-file "$env_file" --project-directory "$root" --project-name "$stack-prepare" \
        --file "$root/compose.yaml" --file "$here/prepare.yaml" "$@"
}

# Export the settings of .env that stack.yaml contains. $1 is the tag of the image.
read_settings() {
    local line name
    [ -f "$env_file" ] || fail "there is no $env_file: copy .env.example to it and fill it in"
    OWNER=$(id -u):$(id -g)
    STATE=$state
    IMAGE_TAG=$1
    export OWNER STATE IMAGE_TAG
    prepare config --quiet || fail "correct $env_file"
    while IFS= read -r line; do
        name=${line%%=*}
        ! is_setting "$name" || export "$name=${line#*=}"
    done < <(prepare config --environment)
    export IMAGE=${IMAGE:-coffee-ledger}
    image=$IMAGE:$IMAGE_TAG
    # Compose has the form ${NAME:+on} for these, which a stack file has not.
    export ALERTS=${ALERTS_CHAT_ID:+on}
    export TELEGRAM_WEBHOOK=${BOT_WEBHOOK_URL:+on}
    export TRACING=${OTEL_EXPORTER_OTLP_ENDPOINT:+on}
    export DATABASE_IS_INSIDE=${DATABASE_OWNER_URL:+false}
}

is_setting() {
    case $1 in
        COMPOSE_PROFILES | ALERTS_CHAT_ID | DATABASE_OWNER_URL | SWARM_*) ;;
        *) cat "$here/stack.yaml" "$override" 2>/dev/null | grep -q "\${$1[}:]" ;;
    esac
}

has_registry() {
    case $IMAGE in
        */*) ;;
        *) return 1 ;;
    esac
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

# Without a registry, load the image onto each node that lacks it.
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

# Print the ids of the nodes on which the image cannot start. A job that does nothing tries it on each of them. A node that is down gets
# the image when it is back, by the next command.
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
    nodes_with "$2" | grep -qxF -- "$1"
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

# Print the id of the node of an engine. Fail if it belongs to no Swarm.
node_of() {
    local id
    id=$(docker --host "$1" info --format '{{.Swarm.NodeID}}') || fail "the engine $1 does not answer"
    [ -n "$id" ] || return 1
    docker node inspect --format '{{.ID}}' "$id" 2>/dev/null || fail "$1 belongs to another Swarm"
}

# Without labels, this is the first deployment: this node gets all of them.
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
    # Other users of both machines may have seen the token in the list of processes.
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

# Wait until the containers of services on a node have ended. They finish their work first. $2 matches the names of the services.
wait_until_ended() {
    local end=$((SECONDS + 90))
    while docker node ps --format '{{.Name}} {{.CurrentState}}' "$1" | grep -qE "^${stack}_($2)\.[^ ]* Running"; do
        [ $SECONDS -lt $end ] || fail "containers on $(node_name "$1") do not end: see docker node ps $1"
        sleep 1
    done
}

# Stop the proxy and the webhook of a node, and make sure that its spool is empty.
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
    # shellcheck disable=SC2016 # the shell in the container expands it
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

# The stack ---------------------------------------------------------------------------------------------------------------------

roll_out() {
    local services
    say "Checking .env …"
    write_state
    say "Migrating the database …"
    run_jobs
    say "Starting the services …"
    mapfile -t services < <(wanted_services)
    deploy_services "${services[@]}"
    wait_for "${services[@]}" || give_up "${services[@]}"
    remove_unwanted "${services[@]}"
    remove_unused
}

# Check .env, and write the secrets, the configuration and the stack file into the folder of the state.
write_state() {
    local one
    mkdir -p "$state"/secrets/{db,migrate,webhook,bot,janitor,watcher,alertmanager,grafana,volumes} \
        "$state"/configuration/{proxy,miniapp,prometheus,alertmanager,grafana,dashboards,tempo}
    take_over_from_compose
    for one in config-check secrets config-files; do
        prepare run --rm --no-deps -T "$one" </dev/null >&2 || fail "$one failed, and nothing was changed. Correct $env_file"
    done
    ACME_THUMBPRINT=$(prepare run --rm --no-deps -T secrets sh -s <"$here/account.sh")
    WEBHOOK_REPLICAS=$(nodes_with webhook | sed -n '$=')
    WEBHOOK_REPLICAS=${WEBHOOK_REPLICAS:-1}
    export ACME_THUMBPRINT WEBHOOK_REPLICAS
    render
}

# Two databases on one volume would destroy it, and the volumes of a Compose project of the same name are those of the stack.
refuse_beside_compose() {
    [ -z "$(docker ps --quiet --filter "label=com.docker.compose.project=$stack")" ] ||
        fail "the Compose project $stack runs on this machine. Stop it first: docker compose down. The stack goes on with its data"
}

# The database in a volume of Compose knows the passwords that Compose generated.
take_over_from_compose() {
    local folder mounts=()
    [ ! -e "$state/secrets/db/password_owner" ] || return 0
    docker volume inspect "${stack}_secrets-db" >/dev/null 2>&1 || return 0
    say "Taking over the passwords of the Compose project $stack …"
    for folder in db migrate webhook grafana; do
        mounts+=(--volume "${stack}_secrets-$folder:/secrets/$folder:ro")
    done
    docker run --rm --network none --user 0:0 "${mounts[@]}" "$image" tar -C /secrets -c db migrate webhook grafana |
        tar -C "$state/secrets" -x --no-same-owner
}

# Write the stack file with all settings, secrets and configuration.
render() {
    local files edits
    write_additions >"$state/additions.yaml"
    files=(--compose-file "$here/stack.yaml" --compose-file "$state/additions.yaml")
    [ ! -f "$override" ] || files+=(--compose-file "$override")
    # `docker stack deploy` reads the result and replaces variables again, so write each $ as $$.
    edits=(-e 's/\$/$$/g')
    [ "${SWARM_ENCRYPTED:-on}" != off ] || edits+=(-e '/^ *driver_opts:$/d' -e '/^ *encrypted: ""$/d')
    docker stack config "${files[@]}" | sed "${edits[@]}" >"$state/stack.yaml"
}

# Print a stack file that gives each service its secrets and its configuration. The folders of the state are those of the volumes in
# Compose: secrets/FOLDER/NAME and configuration/FOLDER/PATH.
write_additions() {
    local part file
    echo "services:"
    service db secrets db 999
    service migrate secrets migrate 10001
    service webhook secrets webhook 10001
    service bot secrets bot 10001
    service janitor secrets janitor 10001
    service volumes secrets volumes 10001
    service postgres-exporter secrets watcher 10001
    service proxy configs proxy /etc/caddy miniapp /srv/miniapp
    service prometheus configs prometheus /etc/prometheus
    service alertmanager secrets alertmanager 10001 configs alertmanager /etc/alertmanager
    service grafana secrets grafana 472 configs grafana /etc/grafana/provisioning dashboards /etc/grafana/dashboards
    service tempo configs tempo /etc/tempo
    for part in secrets configs; do
        echo "$part:"
        while IFS= read -r file; do
            name_file "$file"
        done < <(list_files "$(folder_of $part)")
    done
}

folder_of() {
    [ "$1" = secrets ] && echo secrets || echo configuration
}

# Print the files of a service: `secrets FOLDER USER`, and `configs FOLDER TARGET…`.
service() {
    local file
    echo "  $1:"
    shift
    if [ "$1" = secrets ]; then
        echo "    secrets:"
        while IFS= read -r file; do
            echo "      - {source: $(key "$file"), target: /run/secrets/${file##*/}, uid: '$3', gid: '$3', mode: 0400}"
        done < <(list_files "secrets/$2")
        shift 3
    fi
    [ $# -gt 0 ] || return 0
    echo "    configs:"
    shift
    while [ $# -gt 0 ]; do
        while IFS= read -r file; do
            echo "      - {source: $(key "$file"), target: $2/${file#configuration/"$1"/}, mode: 0444}"
        done < <(list_files "configuration/$1")
        shift 2
    done
}

list_files() {
    (cd "$state" && find "$1" -type f ! -name '.*' | sort)
}

# Print the key of a file in the stack file.
key() {
    echo "${1//\//.}"
}

# Print the entry of a secret or a config. A name has at most 64 characters, and begins with a digest of the content. The digest also
# covers the token of the bot, so that nobody can guess a short secret from its name.
name_file() {
    local digest name
    # Swarm refuses an empty secret. The services ignore white space.
    [ -s "$state/$1" ] || { rm -f "$state/$1"; echo >"$state/$1"; }
    digest=$(cat "$state/secrets/bot/bot_token" "$state/$1" | sha256sum)
    name=${stack}_${digest:0:12}_$(key "${1#*/}")
    echo "  $(key "$1"): {name: '${name:0:64}', file: '$state/$1'}"
}

all_services() {
    awk '/^[^ ]/ { part = $1 } part == "services:" && /^  [^ ]/ { print substr($1, 1, length($1) - 1) }' "$state/stack.yaml"
}

# Print the services that run all the time: without the jobs, and without those that .env leaves out.
wanted_services() {
    local one profiles=${COMPOSE_PROFILES:-} without=" ${jobs[*]} ${SWARM_WITHOUT:-} "
    [[ ,$profiles, == *,tracing,* ]] || without+="tempo "
    [ -z "${DATABASE_OWNER_URL:-}" ] || without+="db "
    for one in $(all_services); do
        [[ $without == *" $one "* ]] || echo "$one"
    done
}

# Print the stack file with only some services.
only() {
    awk -v names=" $* " '
        /^[^ ]/ { part = $1 }
        part == "services:" && /^  [^ ]/ { keep = index(names, " " substr($1, 1, length($1) - 1) " ") }
        part != "services:" || /^[^ ]/ || keep' "$state/stack.yaml"
}

deploy_services() {
    local resolve=never
    ! has_registry || resolve=always
    only "$@" | docker stack deploy --detach --quiet --resolve-image "$resolve" --with-registry-auth --compose-file - "$stack" >&2
}

# The jobs run again at each deployment, so the other services start only after them.
run_jobs() {
    local first=("${jobs[@]}")
    [ -n "${DATABASE_OWNER_URL:-}" ] || first+=(db)
    deploy_services "${first[@]}"
    wait_for "${first[@]}" || fail "the database is not ready, and nothing else was changed. The log above says why"
}

# Wait until each service runs as many containers as it should, and no update is under way. On a failure, print the reasons.
wait_for() {
    local end=$((SECONDS + wait_seconds)) calm=0
    # After a change, Swarm needs a moment to begin. So look three times.
    while [ $calm -lt 3 ]; do
        sleep 1
        calm=$((calm + 1))
        look "$@"
        [ -z "$late" ] || calm=0
        if [ -n "$failed" ] || [ $SECONDS -gt $end ]; then
            report_late "$late $failed"
            return 1
        fi
    done
}

# Write the services that are not ready into the variable `late`, and those that Swarm has rolled back into `failed`.
look() {
    local one counts states
    late='' failed=''
    counts=$(docker service ls --format '{{.Name}} {{.Replicas}}')
    states=$(docker service inspect --format '{{.Spec.Name}} {{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}' "${@/#/${stack}_}" 2>/dev/null) || true
    for one in "$@"; do
        case $(sed -n "s/^${stack}_$one //p" <<<"$states") in
            rollback_completed | *paused) [ $going_back = yes ] || failed+="$one " ;;
            updating | rollback_started) late+="$one " ;;
            *) is_complete "$(sed -n "s/^${stack}_$one //p" <<<"$counts")" || late+="$one " ;;
        esac
    done
}

# Return whether all containers run, as in "2/2", or all containers of a job have ended, as in "0/1 (1/1 completed)".
is_complete() {
    local count=$1
    [[ $count != *completed* ]] || count=${count#*\(}
    [[ $count =~ ^([0-9]+)/([0-9]+) ]] && [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ]
}

report_late() {
    local one
    for one in $1; do
        say "$one is not ready:"
        docker service ps --no-trunc --format '  {{.CurrentState}} on {{.Node}} {{.Error}}' "${stack}_$one" 2>&1 | head -n 4 >&2
        docker service logs --raw --tail 8 "${stack}_$one" 2>&1 | sed 's/^/  /' >&2
    done
}

# Go back to the services as they were, if there were any, and fail.
give_up() {
    local one
    [ -n "$was_running" ] || fail "not all services are ready, see above. Correct the cause and repeat the command"
    say "Going back to $was_running …"
    for one in "$@"; do
        # Swarm refuses this for a service that it has rolled back itself.
        docker service rollback --detach "${stack}_$one" >/dev/null 2>&1 || true
    done
    going_back=yes
    wait_for "$@" || fail "going back failed, too: see $program status"
    fail "the services are as before, with $was_running. The schema of the database stays. Correct the cause and repeat the command"
}

remove_unwanted() {
    local name
    for name in $(docker service ls --filter "label=com.docker.stack.namespace=$stack" --format '{{.Name}}'); do
        [[ " ${jobs[*]} $* " == *" ${name#"${stack}_"} "* ]] || docker service rm "$name" >/dev/null
    done
}

# Remove secrets and configs of former deployments, but not those of the previous versions of services: `docker service rollback` needs
# them.
remove_unused() {
    local kind name used
    used=$(docker service ls --quiet | xargs docker service inspect --format '{{json .Spec}} {{json .PreviousSpec}}'; cat "$state/stack.yaml")
    for kind in secret config; do
        for name in $(docker "$kind" ls --filter "label=com.docker.stack.namespace=$stack" --format '{{.Name}}'); do
            grep -qF -- "$name" <<<"$used" || docker "$kind" rm "$name" >/dev/null 2>&1 || true
        done
    done
}

# Run a command until it succeeds, for up to half a minute. A service of the same name may still be ending.
retry() {
    local _
    for _ in $(seq 30); do
        ! "$@" 2>/dev/null || return 0
        sleep 1
    done
    "$@"
}

# The tests read this file with `source`.
[ "${BASH_SOURCE[0]}" != "$0" ] || main "$@"
