#!/usr/bin/env bash
# Runs the product on Docker Swarm. Run it on a manager, in a checkout with .env. docs/scaling.md explains each step.
#
#   swarm.sh deploy [TAG]       start the stack, or apply a changed .env; TAG is that of the image, by default the running one
#   swarm.sh update [TAG]       replace the image by TAG, by default the revision of this checkout
#   swarm.sh add-node ENGINE    add a machine, such as ssh://root@10.0.0.5, and start the public services on it
#   swarm.sh send-image ENGINE… load the running image onto machines, if there is no registry
#   swarm.sh status             show nodes and services
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$(basename "$0")

stack=${STACK:-coffee-ledger}
state=${STATE:-$here/state}
env_file=${ENV_FILE:-$root/.env}
override=${STACK_OVERRIDE:-$root/stack.override.yaml}
wait_seconds=${WAIT_SECONDS:-300}

# The files of the state contain secrets.
umask 077

labels=(database webhook ingress monitoring)
first=(volumes db migrate)

fail() {
    echo "$program: $*" >&2
    exit 1
}

say() {
    echo "$*" >&2
}

main() {
    local command=${1:-}
    [ $# -eq 0 ] || shift
    case $command in
        deploy) deploy "${1:-}" ;;
        update) update "${1:-}" ;;
        add-node) [ $# -eq 1 ] || usage; add_node "$1" ;;
        send-image) [ $# -ge 1 ] || usage; require_manager; read_settings "$(running_tag)"; local engine; for engine in "$@"; do send_image "$engine"; done ;;
        status) require_manager; status ;;
        *) usage ;;
    esac
}

usage() {
    sed -n '2,/^set /{s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
}

deploy() {
    require_manager
    read_settings "${1:-$(running_tag)}"
    get_image
    label_first_node
    roll_out
}

update() {
    require_manager
    [ -n "$(running_tag)" ] || fail "nothing runs yet: use $program deploy"
    read_settings "${1:-$(revision)}"
    get_image
    roll_out
}

require_manager() {
    [ "$(docker info --format '{{.Swarm.ControlAvailable}}')" = true ] ||
        fail "this machine is no manager of a Swarm: run docker swarm init --advertise-addr ADDRESS first, with its private address"
}

revision() {
    git -C "$root" rev-parse --short HEAD 2>/dev/null || echo local
}

# Print the tag of the running image, or nothing if the stack does not run.
running_tag() {
    local image
    image=$(docker service inspect "${stack}_webhook" --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}' 2>/dev/null) || return 0
    image=${image%@*}
    echo "${image##*:}"
}

# Compose reads .env and its one-shot services check it, as they do on one machine.
prepare() {
    docker compose --env-file "$env_file" --project-directory "$root" --project-name "$stack-prepare" \
        --file "$root/compose.yaml" --file "$here/prepare.yaml" "$@"
}

read_settings() {
    [ -f "$env_file" ] || fail "there is no $env_file: copy .env.example and fill it in"
    local line names
    OWNER=$(id -u):$(id -g)
    STATE=$state
    IMAGE_TAG=${1:-$(revision)}
    export OWNER STATE IMAGE_TAG
    prepare config --quiet
    names=$(cat "$here/stack.yaml" "$override" 2>/dev/null | grep -oE '\$\{[A-Z_]+' | tr -d '${' | sort -u; echo SWARM_WITHOUT; echo COMPOSE_PROFILES)
    while IFS= read -r line; do
        ! grep -qxF -- "${line%%=*}" <<<"$names" || export "${line?}"
    done < <(prepare config --environment)
    export IMAGE=${IMAGE:-coffee-ledger}
    image=$IMAGE:$IMAGE_TAG
    # Compose writes `${NAME:+on}` for these, which a stack file cannot.
    ALERTS=${ALERTS_CHAT_ID:+on} TELEGRAM_WEBHOOK=${BOT_WEBHOOK_URL:+on} TRACING=${OTEL_EXPORTER_OTLP_ENDPOINT:+on}
    BOT_UPDATE_ORDER=${BOT_WEBHOOK_URL:+start-first}
    export ALERTS TELEGRAM_WEBHOOK TRACING BOT_UPDATE_ORDER
}

get_image() {
    docker image inspect "$image" >/dev/null 2>&1 && return
    case $image in
        */*) say "Pulling $image …"; docker pull --quiet "$image" >/dev/null ;;
        *) fail "there is no image $image on this machine: IMAGE_TAG=$IMAGE_TAG docker compose build secrets" ;;
    esac
}

# With no label anywhere, this is the first node: it runs everything.
label_first_node() {
    local label
    [ -z "$(nodes_with database)" ] || return 0
    say "Labelling this node: everything runs on it."
    for label in "${labels[@]}"; do
        [ -n "$(nodes_with "$label")" ] || docker node update --label-add "ledger.$label=true" self >/dev/null
    done
}

nodes_with() {
    docker node ls --quiet --filter "node.label=ledger.$1=true"
}

roll_out() {
    say "Checking .env …"
    write_state
    say "Starting the database and migrating it …"
    deploy_services "${first[@]}"
    wait_for "${first[@]}"
    say "Starting the services …"
    local services
    mapfile -t services < <(wanted_services)
    deploy_services "${services[@]}"
    wait_for "${services[@]}"
    prune
    say "Done."
    status
}

write_state() {
    mkdir -p "$state"/secrets/{db,migrate,webhook,bot,janitor,watcher,alertmanager,grafana} \
        "$state"/configuration/{proxy,miniapp,prometheus,alertmanager,grafana,dashboards,tempo}
    local one
    for one in config-check secrets config-files; do
        prepare run --rm --no-deps -T "$one" >&2 </dev/null || fail "$one failed: nothing was changed"
    done
    write_additions >"$state/additions.yaml"
    local files=(--compose-file "$here/stack.yaml" --compose-file "$state/additions.yaml")
    [ ! -f "$override" ] || files+=(--compose-file "$override")
    # `docker stack deploy` reads the result and would replace variables again, so write each $ as $$.
    docker stack config "${files[@]}" | sed 's/\$/$$/g' >"$state/stack.yaml"
}

# Print a stack file that gives each service its secrets and configuration files. The folders of the state are those of the volumes of
# Compose: secrets/SERVICE/NAME and configuration/FOLDER/PATH.
write_additions() {
    echo "services:"
    secrets_of db 999
    secrets_of migrate 10001
    secrets_of webhook 10001
    secrets_of bot 10001
    secrets_of janitor 10001
    secrets_of alertmanager 10001 configs_from alertmanager /etc/alertmanager
    secrets_of watcher 10001 as postgres-exporter
    secrets_of grafana 472 configs_from grafana /etc/grafana/provisioning dashboards /etc/grafana/dashboards
    echo "  proxy:"; configs_from proxy /etc/caddy miniapp /srv/miniapp
    echo "  prometheus:"; configs_from prometheus /etc/prometheus
    echo "  tempo:"; configs_from tempo /etc/tempo
    echo "secrets:"
    local file
    while IFS= read -r file; do
        # Swarm refuses an empty secret. The services ignore white space.
        [ -s "$state/secrets/$file" ] || echo >"$state/secrets/$file"
        named "secrets/$file"
    done < <(files_in secrets)
    echo "configs:"
    while IFS= read -r file; do named "configuration/$file"; done < <(files_in configuration)
}

files_in() {
    (cd "$state/$1" && find . -type f ! -name '.*' -printf '%P\n' | sort)
}

secrets_of() {
    local folder=$1 user=$2 service=$1 file
    shift 2
    [ "${1:-}" != as ] || service=$2
    echo "  $service:"
    echo "    secrets:"
    while IFS= read -r file; do
        echo "      - {source: $(key "secrets/$folder/$file"), target: /run/secrets/$file, uid: '$user', gid: '$user', mode: 0400}"
    done < <(files_in "secrets/$folder")
    [ "${1:-}" != configs_from ] || "$@"
}

configs_from() {
    local file
    echo "    configs:"
    while [ $# -ge 2 ]; do
        [ "$1" != configs_from ] || shift
        while IFS= read -r file; do
            echo "      - {source: $(key "configuration/$1/$file"), target: $2/$file, mode: 0444}"
        done < <(files_in "configuration/$1")
        shift 2
    done
}

key() {
    tr / . <<<"$1"
}

# A name has at most 64 characters. The digest of a secret also covers the bot's token, so that short secrets cannot be guessed from it.
named() {
    local digest name
    digest=$(cat "$state/secrets/bot/bot_token" "$state/$1" | sha256sum)
    name=${stack}_${digest:0:12}_$(key "${1#*/}")
    echo "  $(key "$1"): {name: '${name:0:64}', file: $state/$1}"
}

# Print the rendered stack with only the named services.
only() {
    awk -v names=" $* " '
        /^[^ ]/ { part = $1 }
        part == "services:" && /^  [^ ]/ { keep = index(names, " " substr($1, 1, length($1) - 1) " ") }
        part != "services:" || /^[^ ]/ || keep' "$state/stack.yaml"
}

all_services() {
    awk '/^[^ ]/ { part = $1 } part == "services:" && /^  [^ ]/ { print substr($1, 1, length($1) - 1) }' "$state/stack.yaml"
}

wanted_services() {
    local without=" ${SWARM_WITHOUT:-} "
    local profiles=${COMPOSE_PROFILES:-}
    [[ " ${profiles//,/ } " == *" tracing "* ]] || without+="tempo "
    local one
    for one in $(all_services); do
        [[ $without == *" $one "* ]] || echo "$one"
    done
}

deploy_services() {
    local resolve=never options=(--detach --prune)
    case $IMAGE in */*) resolve=always ;; esac
    [ $# -gt ${#first[@]} ] || options=(--detach)
    only "$@" | docker stack deploy "${options[@]}" --resolve-image "$resolve" --with-registry-auth --compose-file - "$stack" >&2
}

# Wait until each service runs as many containers as it should, and no update is under way.
wait_for() {
    local end=$((SECONDS + wait_seconds)) late
    while true; do
        late=$(unfinished "$@")
        [ -n "$late" ] || return 0
        [ $SECONDS -lt $end ] || break
        sleep 1
    done
    local one
    for one in $late; do
        say "$one is not ready:"
        docker service ps --no-trunc --format '  {{.Node}}: {{.CurrentState}} {{.Error}}' "${stack}_$one" | head -n 5 >&2
        docker service logs --tail 5 "${stack}_$one" 2>&1 | sed 's/^/  /' >&2 || true
    done
    fail "these services are not ready after $wait_seconds seconds: $(tr '\n' ' ' <<<"$late")"
}

unfinished() {
    local one replicas
    for one in "$@"; do
        replicas=$(docker service ls --filter "name=${stack}_$one" --format '{{.Name}} {{.Replicas}}' | sed -n "s/^${stack}_$one //p")
        is_finished "$replicas" && ! is_updating "$one" || echo "$one"
    done
}

is_finished() {
    case $1 in
        *completed\)) [[ $1 =~ \(([0-9]+)/([0-9]+)\ completed ]] && [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ] ;;
        *) [[ $1 =~ ^([0-9]+)/([0-9]+) ]] && [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ] ;;
    esac
}

is_updating() {
    local status
    status=$(docker service inspect --format '{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}' "${stack}_$1")
    [ "$status" = updating ] || [ "$status" = rollback_started ]
}

# Remove secrets and configs that no service uses. Swarm refuses to remove one in use.
prune() {
    local kind name
    for kind in secret config; do
        for name in $(docker "$kind" ls --filter "label=com.docker.stack.namespace=$stack" --format '{{.Name}}'); do
            grep -qF "$name" "$state/stack.yaml" || docker "$kind" rm "$name" >/dev/null 2>&1 || true
        done
    done
}

send_image() {
    say "Sending $image to $1 …"
    docker save "$image" | docker --host "$1" load --quiet >&2
}

add_node() {
    fail "not written yet"
}

status() {
    docker node ls
    docker service ls --filter "label=com.docker.stack.namespace=$stack"
}

main "$@"
