-- Statements for the metrics. All statements run in one read-only transaction with a single snapshot, so that their numbers are of the
-- same time.

-- name: limit_snapshot!
-- Limit the time of each statement, so that measuring does not slow a busy database further.
SET LOCAL statement_timeout = '2s';

-- name: count_payments
SELECT status, count(*) AS payments, min(created_at) AS oldest_at
  FROM pending_payments
 GROUP BY status;

-- name: count_charges
-- Count the charges by state. A charge of which only the refund was received does not count yet.
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
-- Count the undelivered notifications. A message that is due later, such as a reminder, does not count as delayed. The delay of a
-- message that was queued again is measured from the time at which it was queued again.
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
-- Count the events that changed nothing and that no operator has dismissed. The index events_kept serves this statement.
SELECT outcome, count(*) AS events
  FROM events
 WHERE outcome IN ('failed', 'unreadable') AND body IS NOT NULL AND dismissed_at IS NULL
 GROUP BY outcome;

-- name: find_oldest_undelivered
-- Find the time of the oldest message that is due or waits for a retry. For a message that was queued again, this is the time at which
-- it was queued again.
-- $1 now, $2 kinds for users
SELECT kind = ANY($2::text []) AS is_for_users, min(coalesce(requeued_at, created_at)) AS oldest_at
  FROM notifications
 WHERE status = 'pending' AND (attempts > 0 OR due_at <= $1)
 GROUP BY kind = ANY($2::text []);

-- name: count_overdrafts
-- Count all refunds so far that came after their credits were spent, and the users whose balance is below zero now. Only the entries of
-- users who had a refund are summed, because no other user can have such a refund.
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
-- Find the time of the newest signed delivery of any kind whose event is stored. "Send test" counts too.
SELECT max(received_at) AS received_at FROM events;

-- name: find_rhythm
-- Count the payments in an interval that ends with the newest payment. The interval does not end now, because a long time without
-- payments would make payments look rare.
-- $1 now, $2 length of the interval
SELECT count(*) AS payments, min(charges.paid_at) AS first_at, max(charges.paid_at) AS last_at
  FROM charges
 WHERE charges.is_paid
   AND charges.paid_at <= $1
   AND charges.paid_at > (SELECT max(known.paid_at) FROM charges AS known WHERE known.is_paid AND known.paid_at <= $1) - $2::interval;

-- name: find_last_backup
SELECT taken_at, size_bytes FROM backups ORDER BY taken_at DESC LIMIT 1;
