#!/usr/bin/env bash
# Moves everything to another machine: the database, the spool, the roles of other bots, the certificate and `.env`.
#
#   db/move.sh [--yes] pack FILE      on the old machine: stops the bot, and writes everything into FILE
#   db/move.sh [--yes] unpack FILE    on the new machine: restores everything from FILE, and starts all services
#   db/move.sh rest FILE              on the old machine, once the DNS record has changed: writes the last deliveries into FILE
#   db/move.sh cancel                 on the old machine, after `pack`: starts all services there again
#
# After `pack`, the old machine still accepts deliveries and keeps them in its spool. `rest` on the old machine and a second
# `unpack` on the new machine carry these deliveries over.
set -euo pipefail
# shellcheck source=db/common.sh
source "$(dirname "$0")/common.sh"

# `pack` does not stop these services. The webhook and the proxy still accept deliveries. The sandbox simulates Telegram and Buy
# Me a Coffee, which also keep running during a real move.
going_on='webhook|proxy|sandbox'

main() {
    if [ "${1:-}" = --yes ]; then
        assume_yes=yes
        shift
    fi
    case "${1:-} $#" in
        'pack 2' | 'rest 2' | 'unpack 2') file=$(absolute "$2") ;;
        'cancel 1') ;;
        *) fail "usage: db/move.sh [--yes] pack FILE | [--yes] unpack FILE | rest FILE | cancel" ;;
    esac
    cd "$root"
    lock
    "$1"
}

# The commands for the old machine ------------------------------------------------------------------------------------

pack() {
    begin_file
    is_running db || fail "the database does not run. Start the stack first: docker compose up -d"
    say "This stops the bot on this machine and packs all its data, with personal data and secrets, into $file"
    confirm "Move this stack to another machine?"
    trap undo_pack EXIT
    say "1. Stopping the services. The webhook goes on, and keeps deliveries in its spool …"
    mapfile -t stopped < <(compose ps --services --status running | grep -vxE "$going_on|db")
    [ ${#stopped[@]} -eq 0 ] || compose stop "${stopped[@]}"
    close_database
    say "2. Packing the database …"
    mv "$("$root/db/backup.sh" "$work")" "$work/database.dump"
    in_db pg_dumpall -U ledger_owner --roles-only </dev/null >"$work/roles.sql"
    totals ledger >"$work/totals"
    say "3. Packing the spool, the certificate and the settings …"
    pack_volume webhook /spool
    pack_volume secrets /certificates
    pack_settings
    end_file
    # Refuse all sessions of the database, so that this machine settles nothing if someone starts the services here by mistake.
    ask postgres "ALTER DATABASE ledger WITH ALLOW_CONNECTIONS false"
    packed=yes
    compose stop db
    report_pack
}

begin_file() {
    [ ! -e "$file" ] || fail "$file exists already. Choose another name"
    work=$(mktemp -d "$file.XXXXXX") || fail "no files can be written beside $file"
    trap remove_work EXIT
}

end_file() {
    tar -C "$work" -cf "$file.part" .
    sync "$file.part"
    mv "$file.part" "$file"
}

remove_work() {
    rm -rf "$work" "$file.part"
}

packed=no
stopped=()

undo_pack() {
    local status=$?
    trap - EXIT
    remove_work
    if [ "$packed" = no ]; then
        rm -f "$file"
        open_database || say "Open the database by hand: db/move.sh cancel"
        [ ${#stopped[@]} -eq 0 ] || compose up -d --no-deps --no-recreate "${stopped[@]}" || say "Start the services by hand: docker compose up -d"
        say "$program: nothing was packed. The stack goes on here."
    fi
    return $status
}

# Copy the volume that the service $1 mounts at the folder $2. Leave out deliveries that the webhook is still writing.
pack_volume() {
    compose run --rm --no-deps -T "$1" tar -C "$2" --exclude='*.part' -cf - . >"$work/${2#/}.tar"
}

pack_settings() {
    local name
    mkdir "$work/settings"
    for name in .env compose.override.yaml compose.override.yml; do
        [ ! -f "$name" ] || cp "$name" "$work/settings/"
    done
    [ -f .env ] || say "   There is no .env here, so copy your settings to the new machine yourself."
}

report_pack() {
    say "Everything is in $file. It contains secrets and personal data, and only you can read it here."
    say "1. Encrypt it for the way, for example with: age --passphrase --output pack.age $file   or: gpg --symmetric $file"
    say "2. Copy it to a checkout of the same or a newer release on the new machine, and run there: db/move.sh unpack FILE"
    say "3. Change the DNS record of $(public_host) to the new machine. Until then, this machine accepts deliveries and keeps them."
    say "4. When the old record has expired everywhere, run here: db/move.sh rest FILE2, and there: db/move.sh unpack FILE2"
    say "To go on here instead: db/move.sh cancel. Do this only if the new machine does not run."
}

public_host() {
    compose config | sed -n 's/^ *PUBLIC_HOST: *//p' | head -n 1
}

rest() {
    ! is_running db || fail "this stack is in use. Run db/move.sh pack FILE first"
    begin_file
    compose stop proxy webhook
    pack_volume webhook /spool
    if [ "$(deliveries "$work/spool.tar")" = 0 ]; then
        say "No delivery came to this machine after the pack, so there is nothing to carry over."
    else
        end_file
        say "The last $(deliveries "$work/spool.tar") deliveries are in $file. Run on the new machine: db/move.sh unpack FILE"
    fi
    say "This machine is not needed any more. Once the new one works, delete the data here: docker compose down --volumes"
}

deliveries() {
    tar -tf "$1" | grep -c '\.event$' || true
}

cancel() {
    start_db
    open_database
    compose up -d
    say "The stack goes on here. Do not use the pack any more."
}

# The command for the new machine -------------------------------------------------------------------------------------

unpack() {
    [ -r "$file" ] || fail "there is no file $file that you may read"
    work=$(mktemp -d "$file.XXXXXX") || fail "no files can be written beside $file"
    trap 'rm -rf "$work"' EXIT
    tar -C "$work" -xf "$file" || fail "$file is not a pack, or is damaged. Decrypt it first if you have encrypted it"
    [ -f "$work/spool.tar" ] || fail "$file is not a pack of db/move.sh"
    if [ -f "$work/database.dump" ]; then
        unpack_all
    else
        unpack_rest
    fi
}

unpack_all() {
    refuse_other_settings
    ! is_running webhook || fail "the stack runs here already. Unpack into a new one, or stop it first: docker compose down"
    say "This restores the data into this checkout and starts all services. The old machine must have run db/move.sh pack."
    confirm "Go on on this machine?"
    say "1. Preparing the database …"
    unpack_settings
    start_db
    has_schema || migrate ledger
    [ "$(ask ledger 'SELECT EXISTS (SELECT FROM users) OR EXISTS (SELECT FROM events)')" = f ] ||
        fail "the database of this stack is not empty. If you do not need its data, remove it with docker compose down --volumes"
    add_roles
    say "2. Restoring the database …"
    "$root/db/restore.sh" --yes "$work/database.dump"
    say "3. Comparing the totals with those of the old machine …"
    totals ledger | cmp -s - "$work/totals" || fail "the totals differ from those of the old machine. Go on there with db/move.sh cancel"
    say "4. Restoring the spool and the certificate …"
    unpack_volume webhook /spool
    unpack_volume secrets /certificates
    say "5. Starting all services …"
    compose up -d || fail "the data is here, but not all services started. See the error above, and run docker compose up -d again"
    report_unpack
}

refuse_other_settings() {
    local path
    for path in "$work"/settings/* "$work"/settings/.env; do
        [ ! -f "$path" ] || [ ! -e "${path##*/}" ] || cmp -s "$path" "${path##*/}" ||
            fail "$root/${path##*/} differs from the one in the pack. Rename it, and run the command again; then compare the two"
    done
}

unpack_settings() {
    cp -R "$work/settings/." .
}

# Create the roles of other bots, with their passwords and privileges. Leave out the statements about roles that exist here,
# such as the roles of the services. On this machine, the services have new passwords, which must not be overwritten.
add_roles() {
    local known
    known=$(ask postgres 'SELECT quote_ident(rolname) FROM pg_roles')
    awk -v known="$known" '
        BEGIN { split(known, names, "\n"); for (i in names) exists[names[i]] = 1 }
        /^(CREATE|ALTER) ROLE / { role = $3; sub(/;$/, "", role); if (!(role in exists)) print }
        /^GRANT / { for (i = 2; i < NF; i++) if ($i == "TO") { role = $(i + 1); sub(/;$/, "", role); if (!(role in exists)) print } }
    ' "$work/roles.sql" | run_sql postgres
}

unpack_volume() {
    compose run --rm --no-deps -T "$1" tar -C "$2" -xf - <"$work/${2#/}.tar"
}

report_unpack() {
    say "Everything has arrived: $(tr '\n' ' ' <"$work/totals")"
    say "The bot runs here now. Next:"
    say "1. Change the DNS record of $(public_host) to this machine. Payments reach the old machine until then, and are kept there."
    say "2. When the old record has expired everywhere, run db/move.sh rest FILE on the old machine, and db/move.sh unpack FILE here."
    say "3. Send /doctor to the bot, and let cron take backups here: docs/deploy.md, section Backup."
}

unpack_rest() {
    is_running webhook || fail "this is the rest of a pack. First unpack the whole pack here"
    unpack_volume webhook /spool
    say "$(deliveries "$work/spool.tar") deliveries were added. The webhook settles them within half a minute; known ones change nothing."
}

# Print the totals of a database. `unpack` compares the totals with the totals of the old machine, and shows them to the
# operator.
totals() {
    ask "$1" "
        SELECT format(E'users: %s\npayments: %s\nentries of credits: %s\nsum of the balances: %s',
            (SELECT count(*) FROM users), (SELECT count(*) FROM charges), (SELECT count(*) FROM credits),
            (SELECT coalesce(sum(balance), 0) FROM balances))"
}

main "$@"
