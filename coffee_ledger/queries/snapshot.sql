-- The state of everything at one moment, for the metrics. Each is one step of a read-only transaction of a single snapshot.

-- name: limit_snapshot!
-- A slow database must not be made slower by measuring it.
SET LOCAL statement_timeout = '2s';

-- name: count_payments
SELECT status, count(*) AS payments, min(created_at) AS oldest_at
  FROM pending_payments
 GROUP BY status;

-- name: count_charges
-- A charge of which only the refund has come is no payment yet.
SELECT state, count(*) AS charges, min(recorded_at) AS oldest_at
  FROM charges
 WHERE is_paid
 GROUP BY state;

-- name: sum_paid
-- In hundredths, so that a counter of whole numbers holds it.
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
-- A message that is due later, such as a reminder, is no delay. A message queued again is late from then on.
-- $1 now, $2 kinds for users
SELECT CASE WHEN status = 'pending' AND attempts > 0 THEN 'retrying' ELSE status END AS status,
       kind = ANY($2::text []) AS is_for_users,
       count(*) AS notifications, min(greatest(coalesce(requeued_at, created_at), least(due_at, $1))) AS oldest_at
  FROM notifications
 WHERE status = 'dead' OR (status = 'pending' AND (attempts > 0 OR due_at <= $1))
 GROUP BY CASE WHEN status = 'pending' AND attempts > 0 THEN 'retrying' ELSE status END, kind = ANY($2::text []);

-- name: count_open_claims
SELECT count(*) AS claims, min(created_at) AS oldest_at FROM claims WHERE status = 'open';

-- name: count_unsettled_events
-- Those that changed nothing, and of which no operator has said that nothing more is to be done. An index holds just them.
SELECT outcome, count(*) AS events
  FROM events
 WHERE outcome IN ('failed', 'unreadable') AND body IS NOT NULL AND put_aside_at IS NULL
 GROUP BY outcome;

-- name: find_oldest_undelivered
-- Put off or not: for how long somebody has not been told.
-- A message that was queued again when its reader came back is late from then on.
-- $1 now, $2 kinds for users
SELECT kind = ANY($2::text []) AS is_for_users, min(coalesce(requeued_at, created_at)) AS oldest_at
  FROM notifications
 WHERE status = 'pending' AND (attempts > 0 OR due_at <= $1)
 GROUP BY kind = ANY($2::text []);

-- name: count_overdrafts
-- Refunds that came after their credits were spent, ever; and the users who are below zero now.
-- Only users who had a refund are added up, entry by entry.
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
-- The newest signed delivery whose event is kept, whatever it said; "Send test" is one.
SELECT max(received_at) AS received_at FROM events;

-- name: find_rhythm
-- The payments of some time up to the newest. Not up to now: a long silence would make payments look rare.
-- $1 now, $2 how far back from the newest
SELECT count(*) AS payments, min(charges.paid_at) AS first_at, max(charges.paid_at) AS last_at
  FROM charges
 WHERE charges.is_paid
   AND charges.paid_at <= $1
   AND charges.paid_at > (SELECT max(known.paid_at) FROM charges AS known WHERE known.is_paid AND known.paid_at <= $1) - $2::interval;

-- name: find_last_backup
SELECT taken_at, size_bytes FROM backups ORDER BY taken_at DESC LIMIT 1;
