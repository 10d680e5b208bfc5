# shellcheck shell=bash
# Reads the settings, writes the stack file, deploys it, and waits for its services. swarm.sh reads this file with `source`.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$(basename "$0")

stack=${STACK:-coffee-ledger}
state=${STATE:-$here/state}
env_file=${ENV_FILE:-$root/.env}
override=${STACK_OVERRIDE:-$root/stack.override.yaml}
wait_seconds=${WAIT_SECONDS:-300}

jobs=(volumes migrate)
going_back=no

# The folder $state contains secrets, so only its owner may read it.
umask 077

fail() {
    echo "$program: $*" >&2
    exit 1
}

say() {
    echo "$*" >&2
}

# Run Compose with the given arguments. `prepare run` runs a one-shot service of compose.yaml. As on a single machine, the
# one-shot services check .env and write the files that the other services read.
prepare() {
    docker compose --progress quiet --env-file "$env_file" --project-directory "$root" --project-name "$stack-prepare" \
        --file "$root/compose.yaml" --file "$here/prepare.yaml" "$@"
}

# Export the settings of .env that stack.yaml or the override file uses. $1 is the tag of the image.
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
    # compose.yaml sets these variables with the form ${NAME:+on}, which a stack file does not support.
    export ALERTS=${ALERTS_CHAT_ID:+on}
    export TELEGRAM_WEBHOOK=${BOT_WEBHOOK_URL:+on}
    export TRACING=${OTEL_EXPORTER_OTLP_ENDPOINT:+on}
    export DATABASE_IS_INSIDE=${DATABASE_OWNER_URL:+false}
}

is_setting() {
    case $1 in
        COMPOSE_PROFILES | ALERTS_CHAT_ID | DATABASE_OWNER_URL | SWARM_*) ;;
        *) grep -qs "\${$1[}:]" "$here/stack.yaml" "$override" ;;
    esac
}

has_registry() {
    case $IMAGE in
        */*) ;;
        *) return 1 ;;
    esac
}

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

# Check .env, and write the secrets, the configuration and the stack file into the folder $state.
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

# Fail if the Compose project of the same name runs. It uses the same volumes as the stack, and two databases on one volume would
# destroy its data.
refuse_beside_compose() {
    [ -z "$(docker ps --quiet --filter "label=com.docker.compose.project=$stack")" ] ||
        fail "the Compose project $stack runs on this machine. Stop it first: docker compose down. The stack goes on with its data"
}

# Copy the passwords that Compose generated into the folder $state, because the database in Compose's volume still uses them.
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
    # `docker stack deploy` reads the written file and would replace variables a second time, so write each $ as $$.
    edits=(-e 's/\$/$$/g')
    [ "${SWARM_ENCRYPTED:-on}" != off ] || edits+=(-e '/^ *driver_opts:$/d' -e '/^ *encrypted: ""$/d')
    docker stack config "${files[@]}" | sed "${edits[@]}" >"$state/stack.yaml"
}

# Print a stack file that gives each service its secrets and its configuration. $state/secrets and $state/configuration contain
# one folder for each of Compose's volumes.
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

# Print the entry of additions.yaml that mounts files into the service $1. One or both of these follow, in this order:
# - `secrets FOLDER USER` mounts secrets that only the user id USER may read.
# - `configs FOLDER TARGET` mounts files of the configuration into the directory TARGET. More pairs FOLDER TARGET may follow.
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

# Print the name that the stack file uses for the file $1: its path with dots in place of slashes.
key() {
    echo "${1//\//.}"
}

# Print the stack file's entry for the file $1, a secret or a config. Its name in the Swarm has at most 64 characters and
# contains a digest of the content. The digest also covers the bot's token. If it covered only the content, a stranger who sees
# the name could test guesses of a short secret against the digest.
name_file() {
    local digest name
    # Swarm refuses an empty secret, so write a line break into an empty file. The services ignore the line break.
    [ -s "$state/$1" ] || { rm -f "$state/$1"; echo >"$state/$1"; }
    digest=$(cat "$state/secrets/bot/bot_token" "$state/$1" | sha256sum)
    name=${stack}_${digest:0:12}_$(key "${1#*/}")
    echo "  $(key "$1"): {name: '${name:0:64}', file: '$state/$1'}"
}

all_services() {
    awk '/^[^ ]/ { part = $1 } part == "services:" && /^  [^ ]/ { print substr($1, 1, length($1) - 1) }' "$state/stack.yaml"
}

# Print the services that should run all the time. Leave out the jobs (`migrate`, `volumes`), and the services that .env disables.
wanted_services() {
    local one profiles=${COMPOSE_PROFILES:-} without=" ${jobs[*]} ${SWARM_WITHOUT:-} "
    [[ ,$profiles, == *,tracing,* ]] || without+="tempo "
    [ -z "${DATABASE_OWNER_URL:-}" ] || without+="db "
    for one in $(all_services); do
        [[ $without == *" $one "* ]] || echo "$one"
    done
}

# Print the stack file with only the services that the arguments name.
only() {
    awk -v names=" $* " '
        /^[^ ]/ { part = $1 }
        part == "services:" && /^  [^ ]/ { keep = index(names, " " substr($1, 1, length($1) - 1) " ") }
        part != "services:" || /^[^ ]/ || keep' "$state/stack.yaml"
}

deploy_services() {
    local resolve=never
    ! has_registry || resolve=always
    only "$@" | docker stack deploy --detach --quiet --resolve-image "$resolve" --with-registry-auth --compose-file - "$stack" >/dev/null
}

# Run the jobs, and start the database that they need. The other services are deployed only after the jobs have ended.
run_jobs() {
    local first=("${jobs[@]}")
    [ -n "${DATABASE_OWNER_URL:-}" ] || first+=(db)
    deploy_services "${first[@]}"
    wait_for "${first[@]}" || fail "the database is not ready, and nothing else was changed. The log above says why"
}

# Wait until each service runs as many containers as it should, and no update is under way. On a failure or after a
# timeout, print the state and the last log lines of the services that are not ready.
wait_for() {
    local end=$((SECONDS + wait_seconds)) calm=0
    # After a change, Swarm needs a moment to begin the update. Until then, the old containers still look ready. So look once a
    # second, until the services were ready three times in a row.
    while [ $calm -lt 3 ]; do
        sleep 1
        calm=$((calm + 1))
        look "$@"
        [ -z "$late" ] || calm=0
        if [ -n "$failed" ] || [ $SECONDS -gt $end ]; then
            report_late "${failed:-$late}"
            return 1
        fi
    done
}

# Set the variable `late` to the services that are not ready, and `failed` to the services whose update Swarm has rolled back or
# paused.
look() {
    local one counts tasks states
    late='' failed=''
    counts=$(docker service ls --format '{{.Name}} {{.Replicas}}')
    # `docker stack ps` fails if nothing runs yet.
    tasks=$(docker stack ps --filter desired-state=running --format '{{.Name}} {{.CurrentState}}' "$stack" 2>/dev/null) || true
    states=$(docker service inspect --format '{{.Spec.Name}} {{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}' "${@/#/${stack}_}" 2>/dev/null) || true
    for one in "$@"; do
        case $(sed -n "s/^${stack}_$one //p" <<<"$states") in
            rollback_completed | *paused) [ $going_back = yes ] || failed+="$one " ;;
            updating | rollback_started) late+="$one " ;;
            *) is_complete "$one" || late+="$one " ;;
        esac
    done
}

# Return whether all containers of a service run, or all containers of a job have ended. `docker service ls` prints 2/3 for a service
# and 0/1 (1/1 completed) for a job. Do not use the first number (2), because it still includes the containers of a node that
# is down. Count the containers in `tasks` instead, which `look` has filled.
is_complete() {
    local count running
    count=$(sed -n "s/^${stack}_$1 //p" <<<"$counts")
    running=$(grep -c "^${stack}_$1\.[^ ]* Running" <<<"$tasks") || true
    if [[ $count == *completed* ]]; then
        [[ $count =~ \(([0-9]+)/([0-9]+)\  ]] && [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ]
    else
        [[ $count =~ /([0-9]+) ]] && [ "$running" = "${BASH_REMATCH[1]}" ]
    fi
}

report_late() {
    local one
    for one in $1; do
        say "$one is not ready:"
        docker service ps --no-trunc --format '  {{.CurrentState}} on {{.Node}} {{.Error}}' "${stack}_$one" 2>&1 | head -n 4 >&2
        docker service logs --raw --tail 8 "${stack}_$one" 2>&1 | sed 's/^/  /' >&2
    done
}

# Roll the services back to their previous version, if there is one. Then end the script with an error.
give_up() {
    local one
    [ -n "$was_running" ] || fail "not all services are ready, see above. Correct the cause and repeat the command"
    say "Going back to $was_running …"
    for one in "$@"; do
        # Ignore an error: Swarm refuses to roll back a service that it has already rolled back.
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

# Remove secrets and configs of former deployments. Keep those of each service's previous version, because `docker service
# rollback` needs them.
remove_unused() {
    local kind name used
    used=$(docker service ls --quiet | xargs docker service inspect --format '{{json .Spec}} {{json .PreviousSpec}}'; cat "$state/stack.yaml")
    for kind in secret config; do
        for name in $(docker "$kind" ls --filter "label=com.docker.stack.namespace=$stack" --format '{{.Name}}'); do
            grep -qF -- "$name" <<<"$used" || docker "$kind" rm "$name" >/dev/null 2>&1 || true
        done
    done
}
