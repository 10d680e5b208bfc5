#!/usr/bin/env bash
# Takes a backup. Dumps the database into a folder, restores the dump into a trial database on the same server, and only then records
# the backup in the table `backups`, which alerts and dashboards read. Prints the name of the file.
#
#   db/backup.sh [FOLDER]        by default backups/, beside compose.yaml
set -euo pipefail
# The dump contains notes and e-mail addresses, so only its owner may read it.
umask 077

folder=${1:-$(dirname "$0")/../backups}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$(dirname "$0")/.."

file=$folder/ledger-$(date -u +%Y-%m-%dT%H%M%SZ).dump
part=$file.part
trial=ledger_backup_trial

in_db() {
    docker compose exec -T --env PGOPTIONS='-c client_min_messages=warning' db "$@"
}

ask() {
    in_db psql -XAtq -v ON_ERROR_STOP=1 -U ledger_owner -d "$1" -c "$2" </dev/null
}

drop_trial() {
    in_db dropdb -U ledger_owner --if-exists --force "$trial" </dev/null
}

tidy_up() {
    rm -f "$part"
    drop_trial >/dev/null 2>&1 || true
}
trap tidy_up EXIT

# Read both before the dump, because later changes may not be in it.
began=$(ask ledger 'SELECT now()')
entries=$(ask ledger 'SELECT count(*) FROM credits')
in_db pg_dump -U ledger_owner --format=custom ledger </dev/null >"$part"

# Test the restore now, so that a broken dump is not discovered when it is needed.
drop_trial
in_db createdb -U ledger_owner "$trial" </dev/null
in_db pg_restore -U ledger_owner --exit-on-error --dbname "$trial" <"$part"
restored=$(ask "$trial" 'SELECT count(*) FROM credits')
if [ "$restored" -lt "$entries" ]; then
    echo "backup.sh: only $restored of $entries ledger entries were restored" >&2
    exit 1
fi

sync "$part"
mv "$part" "$file"
size=$(($(wc -c <"$file")))
ask ledger "INSERT INTO backups (taken_at, size_bytes) VALUES ('$began', $size)"
echo "$file"
