#!/usr/bin/env bash
# Takes a backup: dumps the database into a folder, reads the dump back to its end, and only then writes down in the database
# that there is one, by which alerts and dashboards know. Prints the file's name.
#
#   db/backup.sh [FOLDER]        by default backups/, beside compose.yaml
set -euo pipefail
# It holds notes and addresses.
umask 077

folder=${1:-$(dirname "$0")/../backups}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$(dirname "$0")/.."

in_db() {
    docker compose exec -T db "$@"
}

file=$folder/ledger-$(date -u +%Y-%m-%dT%H%M%SZ).dump
part=$file.part
trap 'rm -f "$part"' EXIT

# Before the dump: what comes after this moment may not be in it.
began=$(in_db psql -XAtq -U ledger_owner -d ledger -c 'SELECT now()' </dev/null)
in_db pg_dump -U ledger_owner --format=custom ledger </dev/null >"$part"
# A dump that was cut short fails here, not on the day it is needed.
in_db pg_restore --file=/dev/null <"$part"
sync "$part"
mv "$part" "$file"

size=$(($(wc -c <"$file")))
in_db psql -Xq -v ON_ERROR_STOP=1 -U ledger_owner -d ledger -v began="$began" -v size="$size" \
    <<<"INSERT INTO backups (taken_at, size_bytes) VALUES (:'began', :'size');"
echo "$file"
