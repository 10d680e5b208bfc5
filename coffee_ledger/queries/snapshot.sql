-- Statements for the metrics. All statements except merge_counts run in one read-only transaction with a single snapshot, so
-- that all numbers describe the same moment.

-- name: merge_counts
-- If the table `counts` has more than $1 rows, replace all rows that have equal values of `counted`, `kind`, `method` and
-- `currency` by one row with their sum. If two calls run at the same time, each row is merged by only one of the two calls.
-- $1 number of rows
WITH merged AS (
    DELETE FROM counts WHERE (SELECT count(*) FROM counts) > $1
    RETURNING counted, kind, method, currency, number, amount
)

INSERT INTO counts (counted, kind, method, currency, number, amount)
SELECT counted, kind, method, currency, sum(number), sum(amount)
  FROM merged
 GROUP BY counted, kind, method, currency
HAVING sum(number) <> 0 OR sum(amount) <> 0;

-- name: limit_snapshot
-- Limit the time of each statement, so that the metrics do not slow down a database that is already busy.
SET LOCAL statement_timeout = '2s';

-- name: sum_counts
-- Return the numbers of pending payments, charges and entries of the ledger. A charge is counted only if its payment was
-- received. A refund alone is not enough.
SELECT counted, kind, method, currency, sum(number)::bigint AS number, sum(amount) AS amount
  FROM counts
 GROUP BY counted, kind, method, currency;

-- name: find_oldest_waiting
-- Return the time at which the oldest open pending payment was created, and the time at which the oldest unmatched charge was
-- recorded.
SELECT (SELECT min(created_at) FROM pending_payments WHERE status = 'pending') AS pending_since,
       (
           SELECT recorded_at
             FROM charges
            WHERE state = 'unmatched' AND is_paid
            ORDER BY charge_id
            LIMIT 1
       ) AS unmatched_since;

-- name: count_notifications
-- Count the notifications that are dead, due, or waiting for a retry.
-- A notification can be queued several times. Only the last time counts here.
-- queued_at: the earliest of these times.
-- oldest_at: the start of the longest delay. The delay of a notification starts when it is queued, or at due_at if due_at is later.
-- A delay that has not started yet counts as zero.
-- $1 now, $2 kinds of notifications that are sent to users
SELECT CASE WHEN status = 'pending' AND attempts > 0 THEN 'retrying' ELSE status END AS status,
       kind = ANY($2::text []) AS is_for_users,
       count(*) AS notifications, min(greatest(coalesce(requeued_at, created_at), least(due_at, $1))) AS oldest_at,
       min(coalesce(requeued_at, created_at)) AS queued_at
  FROM notifications
 WHERE status = 'dead' OR (status = 'pending' AND (attempts > 0 OR due_at <= $1))
 GROUP BY CASE WHEN status = 'pending' AND attempts > 0 THEN 'retrying' ELSE status END, kind = ANY($2::text []);

-- name: count_open_claims
SELECT count(*) AS claims, min(created_at) AS oldest_at FROM claims WHERE status = 'open';

-- name: count_handovers
SELECT count(*) AS handovers, min(queued_at) AS oldest_at FROM handovers;

-- name: count_unsettled_events
-- Count the events that failed or could not be read, and that no operator has dismissed. The statement is fast, because it uses
-- the index events_kept, which contains only events that failed or could not be read.
SELECT outcome, count(*) AS events
  FROM events
 WHERE outcome IN ('failed', 'unreadable') AND body IS NOT NULL AND dismissed_at IS NULL
 GROUP BY outcome;

-- name: find_newest_delivery
-- Return the time of the newest event that came by webhook, of any type. Test events from the button "Send test" of Buy Me a
-- Coffee count too. Postgres reads the events in descending order of time until it finds an event that came by webhook. So the
-- statement is fast, unless webhooks have stopped and many newer events came from Buy Me a Coffee's lists.
SELECT max(received_at) AS received_at FROM events WHERE channel = 'webhook';

-- name: find_rhythm
-- Count the payments in the interval of length $2 that ends at the newest payment. Count at most $3 payments, the newest ones.
-- If the interval ended at the present time, a long pause after the newest payment would make payments look rarer than they
-- usually are.
-- $1 now (payments with a later time are ignored), $2 length of the interval, $3 maximum
SELECT count(*) AS payments, min(newest.paid_at) AS first_at, max(newest.paid_at) AS last_at
  FROM (
           SELECT charges.paid_at
             FROM charges
            WHERE charges.is_paid
              AND charges.paid_at <= $1
              AND charges.paid_at
                  > (SELECT max(known.paid_at) FROM charges AS known WHERE known.is_paid AND known.paid_at <= $1) - $2::interval
            ORDER BY charges.paid_at DESC
            LIMIT $3
       ) AS newest;

-- name: find_last_backup
SELECT taken_at, size_bytes FROM backups ORDER BY taken_at DESC LIMIT 1;
