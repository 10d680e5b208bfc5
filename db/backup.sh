#!/usr/bin/env bash
# Takes a backup. Dumps the database into a folder, restores the dump into a trial database on the same server, and only then records
# the backup in the table `backups`, which alerts and dashboards read. Prints the name of the file. Afterwards it deletes old backups.
#
#   db/backup.sh [FOLDER]        by default backups/, beside compose.yaml
set -euo pipefail
# shellcheck source=db/common.sh
source "$(dirname "$0")/common.sh"

days_kept=7
weeks_kept=8
months_kept=12

trial=ledger_backup_trial

main() {
    folder=$(absolute "${1:-$root/backups}")
    cd "$root"
    lock
    mkdir -p "$folder"
    project=$(running_project)
    [ -n "$project" ] || fail "the database does not run here: start it with docker compose up -d db, or in a Swarm, go to its node"
    file=$folder/$project-$(date -u +%Y-%m-%dT%H%M%SZ).dump
    part=$file.part
    trap tidy_up EXIT
    remove_unfinished
    take_backup
    delete_old
    echo "$file"
}

tidy_up() {
    rm -f "$part"
    drop_database "$trial" >/dev/null 2>&1 || true
}

take_backup() {
    # Read the time and the number of entries before the dump, because the dump may lack later changes.
    began=$(ask ledger 'SELECT now()')
    entries=$(ask ledger 'SELECT count(*) FROM credits')
    in_db pg_dump -U ledger_owner --format=custom ledger </dev/null >"$part"
    try_restore
    sync "$part"
    mv "$part" "$file"
    size=$(($(wc -c <"$file")))
    ask ledger "INSERT INTO backups (taken_at, size_bytes) VALUES ('$began', $size)"
}

# Restore the dump as a test, because otherwise a broken dump would be discovered only when it is needed.
try_restore() {
    create_database "$trial"
    in_db pg_restore -U ledger_owner --exit-on-error --dbname "$trial" <"$part"
    restored=$(ask "$trial" 'SELECT count(*) FROM credits')
    [ "$restored" -ge "$entries" ] || fail "only $restored of $entries ledger entries were restored"
}

# Print the names of the files that this script wrote for this project and that end in $1, the newest first. Sorting by name also
# sorts by time, because each name contains the time of its backup, beginning with the year.
written() {
    local path name
    for path in "$folder/$project"-*"$1"; do
        name=${path##*/}
        [[ ${name#"$project-"} =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{6}Z"$1"$ ]] || continue
        [ ! -f "$path" ] || [ -L "$path" ] || echo "$name"
    done | sort --reverse
}

# Remove the files that a crash left. No other backup is being written, because this script holds the lock.
remove_unfinished() {
    local name
    for name in $(written .dump.part); do
        rm -- "$folder/$name"
    done
}

# Keep all backups of the newest `days_kept` days, and the newest backup of each of the newest `weeks_kept` weeks and
# `months_kept` months. Count only days, weeks and months with a backup, so that neither a wrong clock nor a long pause deletes
# all old backups.
delete_old() {
    local name stamp day week month days=0 weeks=0 months=0 last_day='' last_week='' last_month='' keep
    for name in $(written .dump); do
        stamp=${name#"$project-"}
        day=${stamp:0:10} week=$(week_of "${stamp:0:10}") month=${stamp:0:7}
        keep=no
        [ "$day" = "$last_day" ] || days=$((days + 1))
        [ "$days" -gt "$days_kept" ] || keep=yes
        [ "$week" = "$last_week" ] || { weeks=$((weeks + 1)); [ "$weeks" -gt "$weeks_kept" ] || keep=yes; }
        [ "$month" = "$last_month" ] || { months=$((months + 1)); [ "$months" -gt "$months_kept" ] || keep=yes; }
        last_day=$day last_week=$week last_month=$month
        [ "$keep" = yes ] || rm -- "$folder/$name"
    done
}

# Print the number of the week of a day such as 2026-11-30, counted from 1970. Weeks begin on Monday. First compute the number
# of the day. The formula lets each year begin in March, so that the leap day is the last day of a year. Do not use `date`,
# because its options for converting a given day differ between systems.
week_of() {
    local year=$((10#${1:0:4})) month=$((10#${1:5:2})) day=$((10#${1:8:2}))
    [ "$month" -gt 2 ] || { year=$((year - 1)); month=$((month + 12)); }
    local days=$((365 * year + year / 4 - year / 100 + year / 400 + (153 * (month - 3) + 2) / 5 + day - 719469))
    echo $(((days + 3) / 7))
}

main "$@"
