-- The outbox. Only one bot at a time sends notifications and marks them: the bot that holds the lease `sending`.
--
-- The messages of a chat are ordered by (created_at, notification_id). The created_at of a reminder is the time at which it is to be
-- shown, so the reminder comes after everything that happened before that time. A message that failed and waits for its retry blocks
-- the newer messages of its chat until it is sent, given up or set aside. The database does not store which message is being sent.
-- If the sending bot is killed, the next one finds the message still pending, and sends it again.

-- name: take_lease
-- Take a lease, or extend it. Returns no row while another process holds the lease. Times are taken from the database's clock, because
-- the clocks of the processes may differ.
-- $1 lease, $2 holder, $3 for how long
INSERT INTO leases AS known (lease, holder, ends_at)
VALUES ($1, $2, clock_timestamp() + $3::interval)
ON CONFLICT (lease) DO UPDATE
   SET holder = excluded.holder, ends_at = excluded.ends_at
 WHERE known.holder = excluded.holder OR known.ends_at <= clock_timestamp()
RETURNING true;

-- name: end_lease!
-- $1 lease, $2 holder
UPDATE leases SET ends_at = '-infinity' WHERE lease = $1 AND holder = $2;

-- name: address_operators
-- Replace each message to all operators by one row for each operator. Messages above the limit per minute are folded: each operator
-- gets one summary that counts them, and a new summary after an hour. Returns how many messages were folded.
-- The due_at of the common row becomes the time of this decision. The limit per minute is computed from these times.
-- LIMIT 1000 bounds the transaction. The next call addresses the remaining messages.
-- $1 operators' Telegram ids, $2 now, $3 maximum of cards within a minute
WITH recent AS MATERIALIZED (
    SELECT $3 - count(*) AS cards_left
      FROM notifications
     WHERE telegram_id IS NULL AND status = 'addressed' AND due_at > $2::timestamptz - interval '1 minute'
), owed AS MATERIALIZED (
    SELECT shared.notification_id, shared.due_at, row_number() OVER (ORDER BY shared.notification_id) <= recent.cards_left AS is_shown
      FROM notifications AS shared
     CROSS JOIN recent
     WHERE shared.telegram_id IS NULL AND shared.status = 'pending'
     ORDER BY shared.notification_id
     LIMIT 1000
), decided AS (
    -- Check the status again, because another bot may have decided since the row was read.
    UPDATE notifications
       SET status = CASE WHEN owed.is_shown THEN 'addressed' ELSE 'folded' END, due_at = $2
      FROM owed
     WHERE notifications.notification_id = owed.notification_id AND notifications.status = 'pending'
    RETURNING notifications.notification_id, notifications.kind, notifications.facts, notifications.created_at, owed.due_at,
              notifications.traceparent, owed.is_shown
), written AS (
    INSERT INTO notifications (telegram_id, kind, facts, created_at, due_at, traceparent)
    SELECT operators.telegram_id, told.kind, told.facts, told.created_at, told.due_at, told.traceparent
      FROM unnest($1::bigint []) AS operators (telegram_id)
     CROSS JOIN (
               SELECT kind, facts, created_at, due_at, traceparent, notification_id FROM decided WHERE is_shown
               UNION ALL
               SELECT 'waiting_summary', '{}', $2, $2, NULL, NULL WHERE EXISTS (SELECT FROM decided WHERE NOT is_shown)
           ) AS told
     WHERE told.notification_id IS NOT NULL
        OR NOT EXISTS (
               SELECT FROM notifications AS known
                WHERE known.telegram_id = operators.telegram_id
                  AND known.kind = 'waiting_summary'
                  AND (known.status = 'pending' OR known.created_at > $2::timestamptz - interval '1 hour')
                  AND (known.status <> 'sent' OR known.message_id IS NOT NULL)
           )
     -- Insert the summary last, so that it is sent after the cards.
     ORDER BY told.notification_id ASC NULLS LAST
)
SELECT count(*) FROM decided WHERE NOT is_shown;

-- name: find_summaries
-- Find the summaries in operators' chats that are kept up to date, the newest of each operator first.
SELECT summary.notification_id, summary.telegram_id, summary.message_id, summary.created_at,
       coalesce(users.language, 'en') AS language
  FROM notifications AS summary
  LEFT JOIN users ON users.telegram_id = summary.telegram_id
 WHERE summary.kind = 'waiting_summary' AND summary.status = 'sent' AND summary.message_id IS NOT NULL
 ORDER BY summary.telegram_id ASC, summary.notification_id DESC;

-- name: end_summary!
-- Stop updating a summary. It is edited by its message id, so set this id to null.
-- $1 notification id
UPDATE notifications SET message_id = NULL WHERE notification_id = $1;

-- name: count_waiting
-- Count the charges, claims and events that wait for an operator.
SELECT (SELECT count(*) FROM charges WHERE state = 'unmatched' AND is_paid AND reasons -> 0 ->> 'why' = 'no_code') AS without_code,
       (SELECT count(*) FROM charges
         WHERE state = 'unmatched' AND is_paid AND reasons -> 0 ->> 'why' IS DISTINCT FROM 'no_code') AS doubtful,
       (SELECT count(*) FROM claims WHERE status = 'open') AS claims,
       (SELECT count(*) FROM events
         WHERE outcome IN ('failed', 'unreadable') AND body IS NOT NULL AND dismissed_at IS NULL) AS events;

-- name: count_folded
-- $1 since
SELECT kind, count(*) AS messages
  FROM notifications
 WHERE telegram_id IS NULL AND status = 'folded' AND due_at >= $1
 GROUP BY kind
 ORDER BY messages DESC, kind ASC;

-- name: withhold_from_erased!
-- Withhold the pending messages to users who asked to be erased.
UPDATE notifications
   SET status = 'withheld'
  FROM users
 WHERE notifications.status = 'pending'
   AND users.telegram_id = notifications.telegram_id
   AND users.erased_at IS NOT NULL;

-- name: withhold_missed!
-- Withhold the old messages of an erased user who comes back.
-- $1 Telegram id
UPDATE notifications SET status = 'withheld' WHERE telegram_id = $1 AND status IN ('pending', 'unreachable');

-- name: find_due_chats
-- Find chats that have a due message and are not blocked, the longest due first.
-- The window limits how many messages are considered. Messages of blocked chats do not count towards the window; skipping one takes
-- about 0.2 µs. No chat is left out for ever: the caller sends to all chats of the result, and excludes them from the next call meanwhile.
-- The statement uses NOT IN, because Postgres always hashes the subquery. With NOT EXISTS, the planner compared each waiting message
-- with each blocking message, which took seconds.
-- $1 now, $2 maximum, $3 chats to leave out, $4 rows in the window, $5 only these chats, or null for all
WITH due AS MATERIALIZED (
    SELECT waiting.telegram_id, waiting.due_at
      FROM notifications AS waiting
     WHERE waiting.status = 'pending'
       AND waiting.due_at <= $1
       AND waiting.telegram_id IS NOT NULL
       AND NOT waiting.telegram_id = ANY($3::bigint [])
       AND ($5::bigint [] IS NULL OR waiting.telegram_id = ANY($5::bigint []))
       AND waiting.telegram_id NOT IN (SELECT blocked.telegram_id FROM blocked_chats($1) AS blocked)
     ORDER BY waiting.due_at
     LIMIT $4
)
SELECT telegram_id FROM due GROUP BY telegram_id ORDER BY min(due_at) LIMIT $2;

-- name: requeue_missed
-- Queue the undelivered messages of these chats again if they still matter, but only the newest up to the maximum. Withhold the others,
-- so that an old message is never sent after a newer one. Operators get only cards that still wait for a decision.
-- $1 Telegram ids, $2 now, $3 kinds, $4 how long each kind matters: arrays of one length; $5 maximum for each chat
WITH missed AS (
    SELECT known.notification_id,
           row_number() OVER (PARTITION BY known.telegram_id ORDER BY known.created_at DESC, known.notification_id DESC) AS place
      FROM notifications AS known
      JOIN unnest($3::text [], $4::interval []) AS mattering (kind, matters_for) ON mattering.kind = known.kind
     WHERE known.telegram_id = ANY($1::bigint [])
       AND known.status = 'unreachable'
       AND known.created_at > $2::timestamptz - mattering.matters_for
       AND CASE
           WHEN known.kind IN ('charge_unmatched', 'guess_disowned') THEN EXISTS (
               SELECT FROM charges
                WHERE charges.charge_key = known.facts ->> 'charge_key' AND charges.state = 'unmatched' AND charges.is_paid
           )
           -- A guess can be taken back only while its charge is matched. A refund can be corrected to a partial refund only while
           -- the charge counts as refunded in full.
           WHEN known.kind IN ('charge_guessed', 'charge_refunded') THEN EXISTS (
               SELECT FROM charges
                WHERE charges.charge_key = known.facts ->> 'charge_key'
                  AND charges.state = CASE known.kind WHEN 'charge_guessed' THEN 'matched' ELSE 'refunded' END
           )
           WHEN known.kind = 'claim_raised' THEN EXISTS (
               SELECT FROM claims WHERE claims.claim_id = (known.facts ->> 'claim_id')::bigint AND claims.status = 'open'
           )
           -- The facts of the message do not name the event. So the message still matters while any event that is not newer than the
           -- message waits for an operator.
           WHEN known.kind = 'event_unreadable' THEN EXISTS (
               SELECT FROM events
                WHERE events.outcome IN ('failed', 'unreadable')
                  AND events.body IS NOT NULL
                  AND events.dismissed_at IS NULL
                  AND events.received_at <= known.created_at
           )
           ELSE true END
)
UPDATE notifications
   SET status = CASE WHEN missed.place <= $5 THEN 'pending' ELSE 'withheld' END,
       requeued_at = CASE WHEN missed.place <= $5 THEN $2::timestamptz END,
       due_at = $2, attempts = 0, failing_since = NULL, is_set_aside = false
  FROM notifications AS theirs
  LEFT JOIN missed USING (notification_id)
 WHERE notifications.notification_id = theirs.notification_id
   AND notifications.status = 'unreachable'
   AND theirs.telegram_id = ANY($1::bigint [])
   AND theirs.status = 'unreachable'
RETURNING notifications.status;

-- name: find_first_notifications
-- Find the first due message of each chat. Messages that were set aside come last.
-- $1 chats, $2 now
SELECT first.notification_id, first.telegram_id, first.kind, first.facts AS stored_facts, first.attempts + 1 AS attempts, first.created_at,
       first.requeued_at, first.failing_since, first.traceparent,
       coalesce(users.language, 'en') AS language, coalesce(balances.balance, 0) AS balance, charges.reasons,
       charges.charge_id
  FROM unnest($1::bigint []) AS chats (telegram_id)
 CROSS JOIN LATERAL (
           SELECT waiting.*
             FROM notifications AS waiting
            WHERE waiting.telegram_id = chats.telegram_id
              AND waiting.status = 'pending'
              AND waiting.due_at <= $2
            ORDER BY waiting.is_set_aside, waiting.created_at, waiting.notification_id
            LIMIT 1
       ) AS first
  LEFT JOIN users ON users.telegram_id = first.telegram_id
  LEFT JOIN balances ON balances.telegram_id = first.telegram_id
  LEFT JOIN charges ON charges.charge_key = first.facts ->> 'charge_key'
 ORDER BY first.created_at, first.notification_id;

-- name: mark_sent!
-- Mark a message as sent, and its recipient as reachable.
-- $1 notification id, $2 now, $3 Telegram's message id
WITH sent AS (
    UPDATE notifications
       SET status = 'sent', sent_at = $2, message_id = $3
     WHERE notification_id = $1 AND status = 'pending'
    RETURNING telegram_id
)
UPDATE users
   SET unreachable_at = NULL
  FROM sent
 WHERE users.telegram_id = sent.telegram_id AND users.unreachable_at IS NOT NULL AND users.erased_at IS NULL;

-- name: put_off_notification!
-- Count a failed attempt and schedule the next one. A message that is set aside no longer blocks newer messages of its chat.
-- $1 notification id, $2 when it is due again, $3 now, $4 whether it is set aside
UPDATE notifications
   SET due_at = $2, attempts = attempts + 1, failing_since = coalesce(failing_since, $3), is_set_aside = $4
 WHERE notification_id = $1 AND status = 'pending';

-- name: mark_dead!
-- $1 notification id
UPDATE notifications SET status = 'dead' WHERE notification_id = $1 AND status = 'pending';

-- name: mark_chat_unreachable!
-- Stop sending to a user who cannot be reached. Reminders that are due later stay pending.
-- $1 Telegram id, $2 now
UPDATE notifications
   SET status = 'unreachable', is_set_aside = false
 WHERE telegram_id = $1 AND status = 'pending' AND (attempts > 0 OR due_at <= $2);

-- name: find_next_due
-- Return when the next notification can be sent; null if there is none. Messages of blocked chats do not count.
-- $1 now, $2 chats to leave out
SELECT least(
    (
        SELECT waiting.due_at
          FROM notifications AS waiting
         WHERE waiting.status = 'pending'
           AND waiting.due_at <= $1
           AND (
               waiting.telegram_id IS NULL
               OR (
                   NOT waiting.telegram_id = ANY($2::bigint [])
                   AND waiting.telegram_id NOT IN (SELECT blocked.telegram_id FROM blocked_chats($1) AS blocked)
               )
           )
         ORDER BY waiting.due_at
         LIMIT 1
    ),
    (
        SELECT later.due_at
          FROM notifications AS later
         WHERE later.status = 'pending'
           AND later.due_at > $1
           AND (later.telegram_id IS NULL OR NOT later.telegram_id = ANY($2::bigint []))
         ORDER BY later.due_at
         LIMIT 1
    )
);
