-- The outbox: claimed, sent, marked.

-- name: address_operators
-- What is owed to the operators becomes one row for each of them.
-- $1 operators' Telegram ids
WITH owed AS (
    UPDATE notifications
       SET status = 'addressed'
     WHERE notification_id IN (
               SELECT notification_id
                 FROM notifications
                WHERE telegram_id IS NULL AND status = 'pending'
                ORDER BY notification_id
                LIMIT 100
                  FOR UPDATE SKIP LOCKED
           )
    RETURNING kind, facts, created_at, due_at, traceparent
)
INSERT INTO notifications (telegram_id, kind, facts, created_at, due_at, traceparent)
SELECT operators.telegram_id, owed.kind, owed.facts, owed.created_at, owed.due_at, owed.traceparent
  FROM owed
 CROSS JOIN unnest($1::bigint []) AS operators (telegram_id);

-- name: withhold_from_erased!
-- Whoever asked to be forgotten is written to no more.
UPDATE notifications
   SET status = 'unreachable'
  FROM users
 WHERE notifications.status = 'pending'
   AND users.telegram_id = notifications.telegram_id
   AND users.erased_at IS NOT NULL;

-- name: claim_notifications
-- Take what is due for as long as the lease lasts; what a killed sender had taken comes up again after it.
-- What is owed to the operators since they were addressed waits for the next round: NULL = ANY('{}') is false, not null.
-- $1 now, $2 end of the lease, $3 how many at most, $4 users who must wait
WITH claimed AS (
    UPDATE notifications
       SET due_at = $2, attempts = attempts + 1
     WHERE notification_id IN (
               SELECT notification_id
                 FROM notifications
                WHERE status = 'pending'
                  AND telegram_id IS NOT NULL AND NOT telegram_id = ANY($4::bigint [])
                  AND due_at <= $1
                ORDER BY due_at, notification_id
                LIMIT $3
                  FOR UPDATE SKIP LOCKED
           )
    RETURNING notification_id, telegram_id, kind, facts, attempts, created_at, traceparent
)
SELECT claimed.notification_id, claimed.telegram_id, claimed.kind, claimed.facts, claimed.attempts, claimed.created_at,
       claimed.traceparent,
       coalesce(users.language, 'en') AS language, coalesce(balances.balance, 0) AS balance, charges.reasons,
       charges.charge_id
  FROM claimed
  LEFT JOIN users ON users.telegram_id = claimed.telegram_id
  LEFT JOIN balances ON balances.telegram_id = claimed.telegram_id
  LEFT JOIN charges ON charges.charge_key = claimed.facts ->> 'charge_key'
 ORDER BY claimed.notification_id;

-- name: mark_sent!
-- $1 notification id, $2 now, $3 Telegram's message id
UPDATE notifications SET status = 'sent', sent_at = $2, message_id = $3 WHERE notification_id = $1 AND status = 'pending';

-- name: put_off_notification!
-- $1 notification id, $2 when it is due again
UPDATE notifications SET due_at = $2 WHERE notification_id = $1 AND status = 'pending';

-- name: give_up_notification!
-- $1 notification id, $2 why: unreachable or dead
UPDATE notifications SET status = $2 WHERE notification_id = $1 AND status = 'pending';

-- name: find_next_due
-- When the next notification is due; null when none is.
-- $1 users who must wait
SELECT min(due_at)
  FROM notifications
 WHERE status = 'pending' AND (telegram_id IS NULL OR NOT telegram_id = ANY($1::bigint []));
