-- Statements for the outbox. Only the bot that holds the lease `sending` sends messages, so that two bots do not send at the
-- same time.
--
-- The messages of a chat are sent in the order of (created_at, notification_id). A message that waits for a retry blocks the
-- newer messages of its chat until it is sent, given up or set aside (is_set_aside).
-- A message stays pending while it is being sent. If the sending bot is killed, the next bot sends the message again.

-- name: take_lease
-- Take a lease, or extend it. Returns no row while another process holds the lease. The clock of the database decides when a
-- lease ends, because the clocks of the processes may differ.
-- $1 lease, $2 holder, $3 duration
INSERT INTO leases AS known (lease, holder, ends_at)
VALUES ($1, $2, clock_timestamp() + $3::interval)
ON CONFLICT (lease) DO UPDATE
   SET holder = excluded.holder, ends_at = excluded.ends_at
 WHERE known.holder = excluded.holder OR known.ends_at <= clock_timestamp()
RETURNING true;

-- name: end_lease
-- End a lease before its time is over, so that another process can take it at once.
-- $1 lease, $2 holder
UPDATE leases SET ends_at = '-infinity' WHERE lease = $1 AND holder = $2;

-- name: find_unaddressed
-- Find the pending messages to all operators (telegram_id is null). The statement address_operators then decides which of them
-- are sent. If a message is about a charge that still waits for an operator, the row contains the charge id. Otherwise
-- charge_id is null.
-- LIMIT 1000 keeps the transaction short. The next call handles the remaining messages.
SELECT shared.notification_id, charges.charge_id
  FROM notifications AS shared
  LEFT JOIN charges
    ON shared.kind = 'charge_unmatched'
   AND charges.charge_key = shared.facts ->> 'charge_key'
   AND charges.state = 'unmatched'
   AND charges.is_paid
 WHERE shared.telegram_id IS NULL AND shared.status = 'pending'
 ORDER BY shared.notification_id
 LIMIT 1000;

-- name: address_operators
-- Send the messages in $4 to the operators, but at most $3 messages within a minute, and none of the messages in $5. To send a
-- message, replace it by one message for each operator. If at least one message is not sent, queue one summary for each
-- operator. The summary makes no sound if all messages that are not sent are in $5.
-- Returns two numbers. `folded` is the number of messages that are not sent because of the maximum $3. `quiet` is the number of
-- messages that are not sent because they are in $5.
-- Set due_at of each message in $4 to $2, because the next calls use due_at to count the messages of the last minute.
-- $1 operators' Telegram ids, $2 now, $3 maximum number of messages within a minute, $4 ids of messages to all operators
-- $5 the ids in $4 of the messages that need no decision soon
WITH recent AS MATERIALIZED (
    SELECT $3 - count(*) AS cards_left
      FROM notifications
     WHERE telegram_id IS NULL AND status = 'addressed' AND due_at > $2::timestamptz - interval '1 minute'
), owed AS MATERIALIZED (
    SELECT shared.notification_id, shared.due_at, quiet.is_quiet,
           NOT quiet.is_quiet
           AND row_number() OVER (PARTITION BY quiet.is_quiet ORDER BY shared.notification_id) <= recent.cards_left AS is_shown
      FROM notifications AS shared
     CROSS JOIN LATERAL (SELECT shared.notification_id = ANY($5::bigint []) AS is_quiet) AS quiet
     CROSS JOIN recent
     WHERE shared.notification_id = ANY($4::bigint []) AND shared.telegram_id IS NULL AND shared.status = 'pending'
), decided AS (
    -- Check the status again, because another bot may have changed the status since the row was read.
    UPDATE notifications
       SET status = CASE WHEN owed.is_shown THEN 'addressed' ELSE 'folded' END, due_at = $2
      FROM owed
     WHERE notifications.notification_id = owed.notification_id AND notifications.status = 'pending'
    RETURNING notifications.notification_id, notifications.kind, notifications.facts, notifications.created_at, owed.due_at,
              notifications.traceparent, owed.is_shown, owed.is_quiet
), counted AS (
    SELECT count(*) FILTER (WHERE NOT is_quiet) AS folded, count(*) FILTER (WHERE is_quiet) AS quiet
      FROM decided
     WHERE NOT is_shown
), written AS (
    INSERT INTO notifications (telegram_id, kind, facts, created_at, due_at, traceparent)
    SELECT operators.telegram_id, told.kind, told.facts, told.created_at, told.due_at, told.traceparent
      FROM unnest($1::bigint []) AS operators (telegram_id)
     CROSS JOIN (
               SELECT kind, facts, created_at, due_at, traceparent, notification_id FROM decided WHERE is_shown
               UNION ALL
               SELECT 'waiting_summary', jsonb_build_object('is_silent', folded = 0), $2, $2, NULL, NULL
                 FROM counted
                WHERE folded + quiet > 0
           ) AS told
     WHERE told.notification_id IS NOT NULL
        OR NOT EXISTS (
               SELECT FROM notifications AS known
                WHERE known.telegram_id = operators.telegram_id
                  AND known.kind = 'waiting_summary'
                  -- Queue no summary for an operator who has a recent one. A summary is recent while it is pending, and for one
                  -- day after it was queued, or only for one hour if the maximum $3 stopped a message in this call.
                  AND (
                      known.status = 'pending'
                      OR known.created_at > $2::timestamptz
                      - CASE WHEN (SELECT folded FROM counted) > 0 THEN interval '1 hour' ELSE interval '1 day' END
                  )
                  -- Ignore a sent summary without message_id, because the bot can no longer update it.
                  AND (known.status <> 'sent' OR known.message_id IS NOT NULL)
           )
     -- Insert the summary last, so that it is sent after the messages that this statement adds for the same operator.
     ORDER BY told.notification_id ASC NULLS LAST
)
SELECT folded, quiet FROM counted;

-- name: find_summaries
-- Find the summaries that were sent to operators and that the bot still updates. For each operator, the newest comes first.
SELECT summary.notification_id, summary.telegram_id, summary.message_id, summary.created_at,
       coalesce(users.language, 'en') AS language
  FROM notifications AS summary
  LEFT JOIN users ON users.telegram_id = summary.telegram_id
 WHERE summary.kind = 'waiting_summary' AND summary.status = 'sent' AND summary.message_id IS NOT NULL
 ORDER BY summary.telegram_id ASC, summary.notification_id DESC;

-- name: end_summary
-- Delete the message_id of a summary, so that the bot no longer updates the summary.
-- $1 notification id
UPDATE notifications SET message_id = NULL WHERE notification_id = $1;

-- name: queue_summary
-- Queue a new summary for one operator, without a sound. Queue nothing if a summary is pending. After sending the new summary,
-- the bot deletes the previous one.
-- $1 operator, $2 now
INSERT INTO notifications (telegram_id, kind, facts, created_at, due_at)
SELECT $1, 'waiting_summary', '{"is_silent": true}', $2, $2
 WHERE NOT EXISTS (
           SELECT FROM notifications WHERE telegram_id = $1 AND kind = 'waiting_summary' AND status = 'pending'
       );

-- name: count_waiting
-- Count the charges, claims and events that wait for an operator.
SELECT (SELECT count(*) FROM charges WHERE state = 'unmatched' AND is_paid) AS charges,
       (SELECT count(*) FROM claims WHERE status = 'open') AS claims,
       (SELECT count(*) FROM events
         WHERE outcome IN ('failed', 'unreadable') AND body IS NOT NULL AND dismissed_at IS NULL) AS events;

-- name: count_folded
-- For each kind, count the messages to operators that a summary replaced. These messages were not sent.
-- $1 start of the period
SELECT kind, count(*) AS messages
  FROM notifications
 WHERE telegram_id IS NULL AND status = 'folded' AND due_at >= $1
 GROUP BY kind
 ORDER BY messages DESC, kind ASC;

-- name: find_longest_waiting
-- Find the charges that have waited longest for an operator.
-- $1 maximum
SELECT charge_id FROM charges WHERE state = 'unmatched' AND is_paid ORDER BY charge_id LIMIT $1;

-- name: find_charges_near_open_payments
-- Find the charges in $1 that were paid while any user had an open pending payment of the same amount and currency. The rules
-- of coffee_ledger/matching.py use the same condition.
-- $1 charge ids, $2 tolerance for comparing times
SELECT charges.charge_id
  FROM charges
 WHERE charges.charge_id = ANY($1::bigint [])
   AND (
       EXISTS (
           SELECT FROM pending_payments AS open
            WHERE open.status = 'pending'
              AND open.amount = charges.amount
              AND open.currency = charges.currency
              AND open.created_at <= charges.paid_at + $2::interval
       )
       OR EXISTS (
           SELECT FROM pending_payments AS ended
            WHERE ended.status <> 'pending'
              AND ended.amount = charges.amount
              AND ended.currency = charges.currency
              AND ended.ended_at > charges.paid_at
              AND ended.created_at <= charges.paid_at + $2::interval
       )
   );

-- name: find_open_claims
-- Find the open claims, the oldest first.
-- $1 maximum
SELECT paid_on, amount, currency, name, created_at FROM claims WHERE status = 'open' ORDER BY claim_id LIMIT $1;

-- name: keep_offer
-- Return the id of the offer that contains exactly the charges in $1 and that no operator has taken yet. If there is no such
-- offer, add one.
-- $1 charge ids, $2 now
WITH known AS (
    SELECT offer_id FROM dismissal_offers WHERE charge_ids = $1::bigint [] AND taken_at IS NULL
), added AS (
    INSERT INTO dismissal_offers (charge_ids, offered_at)
    SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM known)
    ON CONFLICT (charge_ids) WHERE taken_at IS NULL DO NOTHING
    RETURNING offer_id
)
SELECT offer_id FROM known
UNION ALL
SELECT offer_id FROM added;

-- name: withhold_from_erased
-- Withhold the pending messages to users who asked to be erased.
UPDATE notifications
   SET status = 'withheld'
  FROM users
 WHERE notifications.status = 'pending'
   AND users.telegram_id = notifications.telegram_id
   AND users.erased_at IS NOT NULL;

-- name: withhold_missed
-- Withhold all messages to a user that were not sent yet. The bot runs this statement when an erased user writes again, so that
-- the user gets only messages that are queued from now on.
-- $1 Telegram id
UPDATE notifications SET status = 'withheld' WHERE telegram_id = $1 AND status IN ('pending', 'unreachable');

-- name: find_due_chats
-- Find chats that have a due message. The chat whose message became due first comes first. Skip a chat in which a failed
-- message waits for its retry.
-- Each call reads a limited number of messages ($4), and those that have been due longest come first. The caller sends messages
-- to the found chats, and leaves these chats out of its next call ($3). So the next call reads the messages of further chats.
-- Use NOT IN, because Postgres then puts the skipped chats into a hash table, which is fast. With NOT EXISTS, Postgres compared
-- each due message with each message that waits for its retry, which took seconds.
-- $1 now, $2 maximum number of chats, $3 chats to leave out, $4 maximum number of messages, $5 only these chats, or null for all
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
-- Some messages were not sent because their chat could not be reached. For each chat, queue the newest $5 useful messages
-- again. A message is useful if it is younger than the limit of its kind ($4). A message that asks for a decision is useful
-- only until an operator or a rule has decided. Withhold all other messages that were not sent. Otherwise a later call could
-- send them after newer messages.
-- $1 Telegram ids, $2 now, $3 kinds, $4 the maximum age for each kind (an array as long as $3), $5 maximum for each chat
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
           -- A message about a guess is useful while the charge is matched, because the guess can then be taken back. A message
           -- about a refund is useful while the charge is refunded, because the refund can then be corrected.
           WHEN known.kind IN ('charge_guessed', 'charge_refunded') THEN EXISTS (
               SELECT FROM charges
                WHERE charges.charge_key = known.facts ->> 'charge_key'
                  AND charges.state = CASE known.kind WHEN 'charge_guessed' THEN 'matched' ELSE 'refunded' END
           )
           WHEN known.kind = 'claim_raised' THEN EXISTS (
               SELECT FROM claims WHERE claims.claim_id = (known.facts ->> 'claim_id')::bigint AND claims.status = 'open'
           )
           -- The message does not contain the number of its event, so the event cannot be looked up. Treat the message as useful
           -- if an operator must still decide about any event that was received before the message was queued.
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
-- For each chat, find the message to send next, which is the oldest due message. Some messages were set aside, because they
-- failed for a long time. These messages come after all other messages of their chat.
-- $1 chats, $2 now
SELECT first.notification_id, first.telegram_id, first.kind, first.facts AS stored_facts, first.attempts + 1 AS attempts, first.created_at,
       first.requeued_at, first.failing_since, first.traceparent,
       coalesce(users.language, 'en') AS language, charges.reasons,
       CASE WHEN NOT EXISTS (SELECT FROM handover_start) THEN coalesce(balances.balance, 0) END AS balance,
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

-- name: mark_sent
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

-- name: put_off_notification
-- Count a failed attempt, and schedule the next attempt. A message that is set aside no longer blocks newer messages of its
-- chat.
-- $1 notification id, $2 when it is due again, $3 now, $4 whether it is set aside
UPDATE notifications
   SET due_at = $2, attempts = attempts + 1, failing_since = coalesce(failing_since, $3), is_set_aside = $4
 WHERE notification_id = $1 AND status = 'pending';

-- name: mark_dead
-- Give up a pending message. It is not sent again.
-- $1 notification id
UPDATE notifications SET status = 'dead' WHERE notification_id = $1 AND status = 'pending';

-- name: mark_chat_unreachable
-- Mark messages to a user as unreachable, so that they are not sent: the due messages, and the messages that wait for a retry.
-- Reminders that are due later stay pending.
-- $1 Telegram id, $2 now
UPDATE notifications
   SET status = 'unreachable', is_set_aside = false
 WHERE telegram_id = $1 AND status = 'pending' AND (attempts > 0 OR due_at <= $2);

-- name: find_next_due
-- Return the time at which the next message is due, or null if there is none. Skip a due message if an older message of its
-- chat waits for a retry.
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
