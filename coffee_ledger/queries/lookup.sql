-- Statements that load data for operators. Only two of them change data: remind_of_charge and drop_reminders.

-- name: find_shown_charges
-- Find charges by id or key, the newest first. Each row contains the supporter, the sum of the credits, and the last decision
-- of an operator. For a dismissed charge, the column `remembered` shows which property of the charge (supporter, subscription
-- or item) is marked as an outsider. Either the mark caused the dismissal, or an operator marked the property when dismissing
-- the charge. The column is null if there is no mark, or if the mark has ended.
-- $1 charge ids, $2 charge keys
SELECT charges.*, coalesce(supporters.name, charges.payer_name) AS supporter_name, supporters.email,
       (SELECT coalesce(sum(entries.credits), 0)::bigint FROM credits AS entries WHERE entries.charge_id = charges.charge_id)
           AS credits,
       outsiders.kind AS remembered,
       decision.operator_id, decision.action, decision.reason, decision.created_at AS decided_at
  FROM charges
  LEFT JOIN supporters USING (supporter_id)
  LEFT JOIN LATERAL (
           SELECT operator_actions.operator_id, operator_actions.action, operator_actions.reason, operator_actions.created_at,
                  operator_actions.outsider_id
             FROM operator_actions
            WHERE operator_actions.charge_id = charges.charge_id
            ORDER BY operator_actions.action_id DESC
            LIMIT 1
       ) AS decision ON true
  LEFT JOIN outsiders
    ON charges.state = 'dismissed'
   AND outsiders.outsider_id = coalesce(charges.dismissed_by, decision.outsider_id)
   AND outsiders.ended_at IS NULL
 WHERE charges.charge_id IN (
           SELECT by_id.charge_id FROM charges AS by_id WHERE by_id.charge_id = ANY($1::bigint [])
            UNION
           SELECT by_key.charge_id FROM charges AS by_key WHERE by_key.charge_key = ANY($2::text [])
       )
 ORDER BY charges.paid_at DESC, charges.charge_id DESC;

-- name: find_decisions
-- Find the decisions of operators about a charge, the newest first.
-- $1 charge id, $2 maximum
SELECT operator_id, action, reason, created_at AS at
  FROM operator_actions
 WHERE charge_id = $1
 ORDER BY action_id DESC
 LIMIT $2;

-- name: find_known_users
-- Find users and their balances. Telegram ids that belong to no user are not in the result.
-- $1 Telegram ids
SELECT users.telegram_id, users.username, users.language, users.created_at, users.unreachable_at, users.erased_at,
       coalesce(balances.balance, 0) AS balance
  FROM users
  LEFT JOIN balances USING (telegram_id)
 WHERE users.telegram_id = ANY($1::bigint []);

-- name: find_users_by_name
-- Find users by their username. Several users can have the same stored username: the bot learns of a changed username only when
-- its owner uses the bot again, and until then a different user may have taken the old name.
-- $1 name without @, in lower case
SELECT telegram_id FROM users WHERE lower(username) = $1 ORDER BY telegram_id LIMIT 10;

-- name: find_users_by_part
-- Find users by a part of their username ($1). Also find users by a part of a payer's name ($2), if a charge of this payer was
-- matched to the user. Leave out charges that were matched by a guess, because a guess may be wrong. Use strpos and not LIKE,
-- because LIKE treats % and _ as wildcards.
-- $1 part of a username, $2 part of a name or null, $3 maximum
SELECT found.telegram_id
  FROM (
      SELECT users.telegram_id, 1 AS place, users.created_at AS seen_at
        FROM users
       WHERE strpos(as_searched(users.username), as_searched($1)) > 0
       UNION ALL
      SELECT charges.telegram_id, 2 AS place, charges.paid_at AS seen_at
        FROM supporters
        JOIN charges USING (supporter_id)
       WHERE strpos(as_searched(supporters.name), as_searched($2)) > 0
         AND charges.telegram_id IS NOT NULL
         AND charges.method <> 'amount_and_time'
       UNION ALL
      SELECT charges.telegram_id, 2 AS place, charges.paid_at AS seen_at
        FROM charges
       WHERE strpos(as_searched(charges.payer_name), as_searched($2)) > 0
         AND charges.telegram_id IS NOT NULL
         AND charges.method <> 'amount_and_time'
  ) AS found
 GROUP BY found.telegram_id
 ORDER BY min(found.place), max(found.seen_at) DESC, found.telegram_id
 LIMIT $3;

-- name: find_payments
-- $1 payment ids
SELECT payment_id, telegram_id, amount, currency, status, created_at FROM pending_payments WHERE payment_id = ANY($1::text []);

-- name: find_payments_of_user
-- $1 Telegram id, $2 maximum
SELECT payment_id, telegram_id, amount, currency, status, created_at
  FROM pending_payments
 WHERE telegram_id = $1
 ORDER BY created_at DESC, payment_id ASC
 LIMIT $2;

-- name: find_shown_claim
-- $1 claim id
SELECT claim_id, telegram_id, paid_on, amount, currency, name, status, created_at, decided_at, decided_by, charge_id
  FROM claims
 WHERE claim_id = $1;

-- name: find_unmatched_page
-- List a page of the unmatched charges, the longest waiting first. The column `total` counts the rows of all pages.
-- $1 offset, $2 maximum
SELECT charge_id, count(*) OVER () AS total
  FROM charges
 WHERE state = 'unmatched' AND is_paid
 ORDER BY paid_at, charge_id
 LIMIT $2 OFFSET $1;

-- name: find_pending_page
-- List a page of the open pending payments, the newest first. The column `total` counts the rows of all pages.
-- $1 offset, $2 maximum
SELECT payment_id, telegram_id, amount, currency, status, created_at, count(*) OVER () AS total
  FROM pending_payments
 WHERE status = 'pending'
 ORDER BY created_at DESC, payment_id ASC
 LIMIT $2 OFFSET $1;

-- name: find_kept_page
-- List a page of the events that failed or could not be read, the newest first. Leave out events that an operator has
-- dismissed. The column `total` counts the rows of all pages.
-- $1 offset, $2 maximum
SELECT event_no, type, outcome, body, channel, received_at, retry_requested_at, count(*) OVER () AS total
  FROM events
 WHERE outcome IN ('failed', 'unreadable') AND body IS NOT NULL AND dismissed_at IS NULL
 ORDER BY event_no DESC
 LIMIT $2 OFFSET $1;

-- name: find_claims_page
-- List a page of the open claims, the longest waiting first. The column `total` counts the rows of all pages.
-- $1 offset, $2 maximum
SELECT claim_id, telegram_id, paid_on, amount, currency, name, status, created_at, decided_at, decided_by, charge_id,
       count(*) OVER () AS total
  FROM claims
 WHERE status = 'open'
 ORDER BY claim_id
 LIMIT $2 OFFSET $1;

-- name: find_guesses_page
-- List a page of the guesses, which are matches by amount and time, the newest first. The column `total` counts the rows of all
-- pages.
-- $1 offset, $2 maximum
SELECT charge_id, telegram_id, guessed_at, taken_back_at, count(*) OVER () AS total
  FROM guesses
 ORDER BY guessed_at DESC, charge_id DESC
 LIMIT $2 OFFSET $1;

-- name: find_outsiders_page
-- List a page of the outsiders, the newest first. Outsiders are supporters, subscriptions and items whose payments do not come
-- from our users. Each row contains the charge that an operator dismissed when marking the outsider. If there are several of
-- these charges, the row contains the charge that was dismissed last. The column `total` counts the rows of all pages.
-- $1 offset, $2 maximum
SELECT outsiders.outsider_id, outsiders.kind, outsiders.remembered_at, marked.charge_id, count(*) OVER () AS total
  FROM outsiders
 CROSS JOIN LATERAL (
           SELECT operator_actions.charge_id
             FROM operator_actions
            WHERE operator_actions.outsider_id = outsiders.outsider_id AND operator_actions.action = 'dismiss'
            ORDER BY operator_actions.action_id DESC
            LIMIT 1
       ) AS marked
 WHERE outsiders.ended_at IS NULL
 ORDER BY outsiders.remembered_at DESC, outsiders.outsider_id DESC
 LIMIT $2 OFFSET $1;

-- Each of the following statements counts the rows of a list that come before the row with the id $1. The row $1 may no longer
-- be on the list, for example because an operator has decided about it. If the row is still on the list and $2 is true, the row
-- is counted too.

-- name: count_unmatched_before
-- Count the unmatched charges that come before a given charge in the operators' list.
-- $1 charge id, $2 whether to count this charge too
SELECT count(*)
  FROM charges AS listed
  JOIN charges AS mark ON mark.charge_id = $1
 WHERE listed.state = 'unmatched'
   AND listed.is_paid
   AND (listed.paid_at, listed.charge_id) <= (mark.paid_at, mark.charge_id)
   AND ($2 OR listed.charge_id <> mark.charge_id);

-- name: count_pending_before
-- Count the open pending payments that come before a given payment in the operators' list.
-- $1 payment id, $2 whether to count this payment too
SELECT count(*)
  FROM pending_payments AS listed
  JOIN pending_payments AS mark ON mark.payment_id = $1
 WHERE listed.status = 'pending'
   AND (
       listed.created_at > mark.created_at
       OR listed.created_at = mark.created_at AND listed.payment_id <= mark.payment_id
   )
   AND ($2 OR listed.payment_id <> mark.payment_id);

-- name: count_kept_before
-- Count the events that failed or could not be read, and that come before a given event in the operators' list.
-- $1 number of the event, $2 whether to count this event too
SELECT count(*)
  FROM events
 WHERE outcome IN ('failed', 'unreadable') AND body IS NOT NULL AND dismissed_at IS NULL
   AND event_no >= $1
   AND ($2 OR event_no <> $1);

-- name: count_claims_before
-- Count the open claims that come before a given claim in the operators' list.
-- $1 claim id, $2 whether to count this claim too
SELECT count(*) FROM claims WHERE status = 'open' AND claim_id <= $1 AND ($2 OR claim_id <> $1);

-- name: count_guesses_before
-- Count the guesses that come before a given guess in the operators' list.
-- $1 charge id of the guess, $2 whether to count this guess too
SELECT count(*)
  FROM guesses AS listed
  JOIN guesses AS mark ON mark.charge_id = $1
 WHERE (listed.guessed_at, listed.charge_id) >= (mark.guessed_at, mark.charge_id)
   AND ($2 OR listed.charge_id <> mark.charge_id);

-- name: count_outsiders_before
-- Count the outsiders that come before a given outsider in the operators' list. The list begins with the newest outsider.
-- Outsiders are supporters, subscriptions and items whose payments do not come from our users.
-- $1 outsider id, $2 whether to count this outsider too
SELECT count(*)
  FROM outsiders AS listed
  JOIN outsiders AS mark ON mark.outsider_id = $1
 WHERE listed.ended_at IS NULL
   AND (listed.remembered_at, listed.outsider_id) >= (mark.remembered_at, mark.outsider_id)
   AND ($2 OR listed.outsider_id <> mark.outsider_id);

-- name: find_charges_by_number
-- Find charges by our charge id, by our charge key, or by one of the ids that Buy Me a Coffee gave them.
-- $1 charge id or null, $2 charge key or id of Buy Me a Coffee, $3 maximum
SELECT charge_id FROM charges WHERE charge_id = $1 OR transaction_id = $2 OR psp_id = $2 OR charge_key = $2 OR bmc_id = $2
 ORDER BY paid_at DESC
 LIMIT $3;

-- name: find_charges_of_user
-- $1 Telegram id, $2 maximum
SELECT charge_id FROM charges WHERE telegram_id = $1 ORDER BY paid_at DESC, charge_id DESC LIMIT $2;

-- name: find_charges_by_email
-- $1 address in lower case, $2 maximum
SELECT charges.charge_id
  FROM supporters
  JOIN charges USING (supporter_id)
 WHERE lower(supporters.email) = $1
 ORDER BY charges.paid_at DESC, charges.charge_id DESC
 LIMIT $2;

-- name: find_charges_by_name
-- $1 part of the supporter's name, $2 maximum
SELECT named.charge_id
  FROM (
      SELECT charges.charge_id, charges.paid_at
        FROM supporters
        JOIN charges USING (supporter_id)
       WHERE strpos(as_searched(supporters.name), as_searched($1)) > 0
       UNION ALL
      SELECT charges.charge_id, charges.paid_at
        FROM charges
       WHERE charges.supporter_id IS NULL AND strpos(as_searched(charges.payer_name), as_searched($1)) > 0
  ) AS named
 ORDER BY named.paid_at DESC, named.charge_id DESC
 LIMIT $2;

-- name: find_charges_of_payment
-- Find the charges of a pending payment. Also find the charge that completed the payment, even if its match was undone later.
-- After the undo, the payment_id of the charge is null, but the bmc_data of the payment still contains the charge key.
-- $1 payment id
SELECT charge_id
  FROM charges
 WHERE payment_id = $1
    OR charge_key = (SELECT bmc_data ->> 'charge_key' FROM pending_payments WHERE pending_payments.payment_id = $1)
 ORDER BY paid_at, charge_id;

-- name: find_life_of_payment
-- Find a pending payment, with the times at which it was created, completed and ended.
-- $1 payment id
SELECT payment_id, telegram_id, amount, currency, status, created_at, completed_at, ended_at
  FROM pending_payments
 WHERE payment_id = $1;

-- name: find_entries_of_charges
-- Find all entries of the ledger that belong to these charges, the oldest first.
-- $1 charge ids
SELECT credit_id, telegram_id, kind, credits, charge_id, cause, created_at, reverses
  FROM credits
 WHERE charge_id = ANY($1::bigint [])
 ORDER BY credit_id;

-- name: find_entries
-- Find entries of the ledger by their ids.
-- $1 credit ids
SELECT credits.credit_id, credits.telegram_id, credits.kind, credits.credits, credits.charge_id, credits.cause,
       credits.created_at, credits.reverses
  FROM credits
 WHERE credits.credit_id = ANY($1::bigint []);

-- name: find_adjustments_of_user
-- Find the adjustments of a user that were not reversed, the newest first.
-- $1 Telegram id, $2 maximum
SELECT given.credit_id, given.telegram_id, given.kind, given.credits, given.charge_id, given.cause, given.created_at,
       given.reverses
  FROM credits AS given
 WHERE given.telegram_id = $1
   AND given.kind = 'adjustment'
   AND NOT EXISTS (SELECT FROM credits AS taken WHERE taken.reverses = given.credit_id)
 ORDER BY given.credit_id DESC
 LIMIT $2;

-- name: find_messages_about
-- Find the notifications to a user about a pending payment or its charges.
-- $1 Telegram id, $2 payment id, $3 charge keys
SELECT kind, status, created_at, sent_at
  FROM notifications
 WHERE telegram_id = $1 AND (facts ->> 'code' = $2 OR facts ->> 'charge_key' = ANY($3::text []))
 ORDER BY notification_id;

-- name: find_cards
-- Find the sent messages that show a charge or a claim to operators, so that the bot can edit these messages.
-- $1 operators, $2 charge key or null, $3 claim id or null
SELECT notifications.telegram_id, notifications.message_id, notifications.kind, coalesce(users.language, 'en') AS language,
       notifications.facts
  FROM notifications
  LEFT JOIN users USING (telegram_id)
 WHERE notifications.telegram_id = ANY($1::bigint [])
   AND notifications.status = 'sent'
   AND notifications.message_id IS NOT NULL
   AND (
       (
           notifications.kind IN (
               'charge_unmatched', 'charge_guessed', 'charge_refunded', 'charge_contradicted', 'charge_not_listed',
               'refund_unknown', 'guess_disowned'
           )
           AND notifications.facts ->> 'charge_key' = $2
       )
       OR (notifications.kind = 'claim_raised' AND (notifications.facts ->> 'claim_id')::bigint = $3)
   )
 ORDER BY notifications.notification_id DESC
 LIMIT 20;

-- name: find_claims_about
-- Find the open claims that may be about this charge: the day of payment in the claim is at most $2 days before or after the
-- day of the charge.
-- $1 charge id, $2 maximum number of days
SELECT claims.claim_id
  FROM charges
  JOIN claims
    ON claims.status = 'open'
   AND charges.paid_at >= claims.paid_on - $2::integer
   AND charges.paid_at < claims.paid_on + $2::integer + 1
 WHERE charges.charge_id = $1;

-- name: find_claims_decided_by_charge
-- Find the claims that were confirmed because of this charge.
-- $1 charge id, $2 earliest time of the confirmation
SELECT claim_id FROM claims WHERE charge_id = $1 AND decided_at >= $2;

-- name: sum_periods
-- For each time in $1 and each currency, sum the amounts of the charges that were paid since that time. Refunded charges are left
-- out.
-- $1 times
SELECT since.at AS since, charges.currency, count(*) AS charges, sum(charges.amount) AS amount
  FROM unnest($1::timestamptz []) AS since (at)
  JOIN charges ON charges.paid_at >= since.at AND charges.is_paid AND charges.state <> 'refunded'
 GROUP BY since.at, charges.currency
 ORDER BY since.at DESC, sum(charges.amount) DESC;

-- name: count_periods
-- For each time in $1, sum the credits of the ledger entries that were made since that time, without the entries for spent
-- credits. Also count the charges, the unmatched charges and the refunded charges that were paid since that time.
-- $1 times
SELECT since.at AS since,
       (SELECT coalesce(sum(entries.credits), 0)::bigint FROM credits AS entries
         WHERE entries.created_at >= since.at AND entries.kind <> 'spend') AS credits,
       (SELECT count(*) FROM charges WHERE charges.paid_at >= since.at AND charges.is_paid) AS charges,
       (SELECT count(*) FROM charges WHERE charges.paid_at >= since.at AND charges.is_paid AND charges.state = 'unmatched')
           AS unmatched,
       (SELECT count(*) FROM charges WHERE charges.paid_at >= since.at AND charges.state = 'refunded') AS refunded
  FROM unnest($1::timestamptz []) AS since (at)
 ORDER BY since.at DESC;

-- name: count_methods_since
-- For each time in $1, count the charges paid since that time, separately for each method of matching.
-- $1 times
SELECT since.at AS since, charges.method, count(*) AS charges
  FROM unnest($1::timestamptz []) AS since (at)
  JOIN charges ON charges.paid_at >= since.at AND charges.is_paid AND charges.method IS NOT NULL
 GROUP BY since.at, charges.method
 ORDER BY since.at DESC, count(*) DESC, charges.method;

-- name: count_days
-- For each day (UTC), count the paid charges. The column `waiting` counts the unmatched charges, and `settled` counts all other
-- paid charges.
-- $1 first day, $2 last day
SELECT days.day::date AS day,
       count(charges.charge_id) FILTER (WHERE charges.state <> 'unmatched') AS settled,
       count(charges.charge_id) FILTER (WHERE charges.state = 'unmatched') AS waiting
  FROM generate_series($1::date, $2::date, '1 day') AS days (day)
  LEFT JOIN charges
    ON charges.is_paid
   AND charges.paid_at >= days.day AT TIME ZONE 'UTC'
   AND charges.paid_at < (days.day + interval '1 day') AT TIME ZONE 'UTC'
 GROUP BY days.day
 ORDER BY days.day;

-- name: export_charges
-- Return the charges paid in a period, for an export file.
-- $1 start of the period, $2 end of the period (excluded), $3 maximum number of rows
SELECT charges.charge_id, charges.charge_key, charges.family, charges.transaction_id, charges.paid_at, charges.amount,
       charges.currency, charges.state, charges.method, charges.payment_id, charges.telegram_id, users.username,
       coalesce(supporters.name, charges.payer_name) AS supporter_name, charges.flag, charges.matched_at, charges.refunded_at
  FROM charges
  LEFT JOIN supporters USING (supporter_id)
  LEFT JOIN users ON users.telegram_id = charges.telegram_id
 WHERE charges.is_paid AND charges.paid_at >= $1 AND charges.paid_at < $2
 ORDER BY charges.paid_at, charges.charge_id
 LIMIT $3;

-- name: export_credits
-- Return the entries of the ledger that were made in a period, for an export file.
-- $1 start of the period, $2 end of the period (excluded), $3 maximum number of rows
SELECT credits.credit_id, credits.created_at, credits.telegram_id, users.username, credits.kind, credits.credits,
       credits.charge_id, credits.reverses, credits.cause
  FROM credits
  LEFT JOIN users USING (telegram_id)
 WHERE credits.created_at >= $1 AND credits.created_at < $2
 ORDER BY credits.credit_id
 LIMIT $3;

-- name: export_actions
-- Return the decisions that operators made in a period, for an export file.
-- $1 start of the period, $2 end of the period (excluded), $3 maximum number of rows
SELECT operator_actions.action_id, operator_actions.created_at, operator_actions.operator_id, users.username AS operator_name,
       operator_actions.action, operator_actions.charge_id,
       (SELECT max(credits.credit_id) FROM credits WHERE credits.action_id = operator_actions.action_id) AS credit_id,
       operator_actions.claim_id,
       operator_actions.event_no, operator_actions.telegram_id, operator_actions.reason
  FROM operator_actions
  LEFT JOIN users ON users.telegram_id = operator_actions.operator_id
 WHERE operator_actions.created_at >= $1 AND operator_actions.created_at < $2
 ORDER BY operator_actions.action_id
 LIMIT $3;

-- name: examine
-- Return the numbers that the command /doctor shows about the health of all services. The number `owed` counts the messages
-- that are due or wait for a retry.
SELECT clock_timestamp() AS now,
       current_setting('server_version') AS version,
       (SELECT count(*) FROM events WHERE received_at > now() - interval '7 days' AND channel = 'webhook') AS events_week,
       (SELECT count(*) FROM events
         WHERE outcome IN ('failed', 'unreadable')
           AND body IS NOT NULL
           AND dismissed_at IS NULL
           AND received_at > now() - interval '7 days') AS failed,
       (SELECT coalesce(sum(failures), 0)::bigint FROM signature_failures WHERE minute > now() - interval '1 day') AS forged,
       (SELECT max(minute) FROM signature_failures) AS forged_at,
       (SELECT refused FROM webhook_answers) AS refused,
       (SELECT refused_at FROM webhook_answers) AS refused_at,
       (SELECT max(taken_at) FROM backups) AS backup_at,
       (SELECT count(*) FROM notifications WHERE status = 'pending' AND (attempts > 0 OR due_at <= now())) AS owed,
       (SELECT min(coalesce(requeued_at, created_at)) FROM notifications
         WHERE status = 'pending' AND (attempts > 0 OR due_at <= now())) AS owed_since,
       (SELECT count(*) FROM notifications WHERE status = 'dead') AS dead,
       (SELECT count(*) FROM charges WHERE state = 'unmatched' AND is_paid) AS unmatched,
       (SELECT count(*) FROM claims WHERE status = 'open') AS claims;

-- name: find_last_event
-- Find the newest event that came by webhook, of any type.
SELECT received_at, outcome FROM events WHERE channel = 'webhook' ORDER BY received_at DESC LIMIT 1;

-- name: count_verifying_secrets
-- For each signing secret, count the events whose signature was verified with the secret, and return the time of the last of
-- these events.
-- $1 received after this time
SELECT verified_by, count(*) AS events, max(received_at) AS last_at
  FROM events
 WHERE received_at > $1 AND verified_by IS NOT NULL
 GROUP BY verified_by
 ORDER BY verified_by;

-- name: find_events_to_replay
-- Find stored events that are about a charge and still have their body, the oldest first. The caller reads the bodies and
-- ignores events that do not report a payment.
-- $1 charge keys, or null for all charges, $2 received from this time, $3 received before this time, $4 maximum
SELECT event_no, body, received_at, charge_key, channel
  FROM events
 WHERE body IS NOT NULL
   AND charge_key IS NOT NULL
   AND outcome IN ('credited', 'unmatched', 'recorded')
   AND ($1::text [] IS NULL OR charge_key = ANY($1))
   AND received_at >= $2
   AND received_at < $3
 ORDER BY event_no
 LIMIT $4;

-- name: find_reminders
-- Find the reminders of a charge that are not due yet. The created_at of a reminder is the time at which it is due. So only
-- reminders have a created_at in the future.
-- $1 charge key, $2 operator, or null for all
SELECT telegram_id, max(due_at) AS due_at
  FROM notifications
 WHERE kind = 'charge_unmatched'
   AND status = 'pending'
   AND created_at > now()
   AND facts ->> 'charge_key' = $1
   AND telegram_id = coalesce($2, telegram_id)
 GROUP BY telegram_id;

-- name: remind_of_charge
-- Queue a reminder that shows a charge to one operator again at the time $3. If this operator already has a reminder of the
-- charge, move that reminder to $3. Set not only due_at but also created_at to $3, for two reasons. First, the delay of a
-- message is measured from created_at. If created_at were the current time, the reminder would count as delayed as soon as it
-- is due. Second, the messages of a chat are sent in the order of created_at. Some messages that are queued before $3 may still
-- wait at $3. If created_at were the current time, the reminder would be sent before these messages.
-- $1 operator, $2 facts, $3 time of the reminder
WITH moved AS (
    UPDATE notifications
       SET created_at = $3, due_at = $3
     WHERE telegram_id = $1
       AND kind = 'charge_unmatched'
       AND status = 'pending'
       AND created_at > now()
       AND facts ->> 'charge_key' = $2::jsonb ->> 'charge_key'
    RETURNING notification_id
)
INSERT INTO notifications (telegram_id, kind, facts, created_at, due_at)
SELECT $1, 'charge_unmatched', $2, $3, $3
 WHERE NOT EXISTS (SELECT FROM moved);

-- name: drop_reminders
-- Cancel the reminders of a charge for the operators $1: for one operator who cancels the reminder, or for all operators if the
-- charge no longer waits for a decision.
-- $1 operators, $2 charge key
UPDATE notifications
   SET status = 'addressed'
 WHERE telegram_id = ANY($1::bigint [])
   AND kind = 'charge_unmatched'
   AND status = 'pending'
   AND due_at > now()
   AND facts ->> 'charge_key' = $2;

-- name: set_replay_time
-- Make the other statements of this transaction read the views in the schema `past`. These views show the tables as they were at
-- the time $1, without the charge $2.
-- $1 time, $2 key of the charge that is replayed
SELECT set_config('search_path', 'past, public', true), set_config('past.at', $1::text, true), set_config('past.without', $2, true);
