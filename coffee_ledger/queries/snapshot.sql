-- Statements for the metrics. They all run in one read-only transaction with a single snapshot, so that all numbers are of the
-- same time.

-- name: limit_snapshot!
-- Limit the time of each statement, so that the metrics do not slow down a database that is already busy.
SET LOCAL statement_timeout = '2s';

-- name: count_payments
SELECT status, count(*) AS payments, min(created_at) AS oldest_at
  FROM pending_payments
 GROUP BY status;

-- name: count_charges
-- Count the charges by state. If only the refund of a charge was received, but not its payment, the charge is not counted.
SELECT state, count(*) AS charges, min(recorded_at) AS oldest_at
  FROM charges
 WHERE is_paid
 GROUP BY state;

-- name: sum_paid
-- Sum the amounts paid in each currency. The sum is in hundredths, so that an integer counter can hold it.
SELECT currency, sum(amount * 100) AS hundredths
  FROM charges
 WHERE is_paid
 GROUP BY currency;

-- name: count_methods
SELECT method, count(*) AS matches
  FROM charges
 WHERE method IS NOT NULL
 GROUP BY method;

-- name: sum_credits
SELECT kind, credits < 0 AS is_taken, count(*) AS entries, sum(abs(credits))::bigint AS credits
  FROM credits
 GROUP BY kind, is_taken;

-- name: count_notifications
-- Count the notifications that are dead, due, or waiting for a retry. The column `oldest_at` is the start of the longest delay.
-- The delay of a message starts at the time when it was last queued or at its due_at, whichever is later. If due_at is in the
-- future, the delay starts now.
-- $1 now, $2 kinds for users
SELECT CASE WHEN status = 'pending' AND attempts > 0 THEN 'retrying' ELSE status END AS status,
       kind = ANY($2::text []) AS is_for_users,
       count(*) AS notifications, min(greatest(coalesce(requeued_at, created_at), least(due_at, $1))) AS oldest_at
  FROM notifications
 WHERE status = 'dead' OR (status = 'pending' AND (attempts > 0 OR due_at <= $1))
 GROUP BY CASE WHEN status = 'pending' AND attempts > 0 THEN 'retrying' ELSE status END, kind = ANY($2::text []);

-- name: count_open_claims
SELECT count(*) AS claims, min(created_at) AS oldest_at FROM claims WHERE status = 'open';

-- name: count_handovers
SELECT count(*) AS handovers, min(queued_at) AS oldest_at FROM handovers;

-- name: count_unsettled_events
-- Count the events that failed or could not be read, and that no operator has dismissed. The index events_kept serves this
-- statement.
SELECT outcome, count(*) AS events
  FROM events
 WHERE outcome IN ('failed', 'unreadable') AND body IS NOT NULL AND dismissed_at IS NULL
 GROUP BY outcome;

-- name: find_oldest_undelivered
-- Of the messages that are due or wait for a retry, return the time at which the oldest one was queued. If a message was queued
-- again, the later time counts.
-- $1 now, $2 kinds for users
SELECT kind = ANY($2::text []) AS is_for_users, min(coalesce(requeued_at, created_at)) AS oldest_at
  FROM notifications
 WHERE status = 'pending' AND (attempts > 0 OR due_at <= $1)
 GROUP BY kind = ANY($2::text []);

-- name: count_overdrafts
-- Count the refunds that left a user with a negative balance, and the users whose balance is negative now.
-- To count the refunds, read only the entries of users who had a refund. Reading the entries of all users would take longer.
SELECT (
           SELECT count(*)
             FROM (
                      SELECT c.kind, sum(c.credits) OVER (PARTITION BY c.telegram_id ORDER BY c.credit_id) AS balance
                        FROM credits AS c
                       WHERE c.telegram_id IN (SELECT r.telegram_id FROM credits AS r WHERE r.kind = 'refund' AND r.credits < 0)
                  ) AS stood
            WHERE stood.kind = 'refund' AND stood.balance < 0
       ) AS refunds,
       (SELECT count(*) FROM balances WHERE balance < 0) AS users;

-- name: find_newest_delivery
-- Return the time of the newest event that came by webhook, of any type. Test events from the button "Send test" of Buy Me a Coffee
-- count too.
SELECT max(received_at) AS received_at FROM events WHERE channel = 'webhook';

-- name: find_rhythm
-- Count the payments in the interval of the length $2 that ends at the newest payment, but at most the $3 newest of them. If the
-- interval ended now, a long pause after the newest payment would make payments look rarer than they usually are.
-- $1 now, $2 length of the interval, $3 maximum
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
