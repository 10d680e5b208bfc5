-- Statements of a settlement, which is one transaction. They load the input for coffee_ledger/settling.py and store its result.

-- name: ping
SELECT true;

-- name: find_schema_version
SELECT schema_version(), oldest_service();

-- name: load_types
-- Each new connection prepares this statement, but never runs it. Preparing it makes asyncpg look up the array types in Postgres.
-- Otherwise asyncpg would do this later, in transactions that hold a lock.
SELECT $1::boolean [], $2::bytea [], $3::smallint [], $4::integer [], $5::bigint [], $6::numeric [], $7::text [],
       $8::varchar [], $9::interval [], $10::date [], $11::timestamptz [], $12::jsonb [];

-- name: lock_settling
-- Let only one settlement run at a time. The lock is held until the end of the transaction. The match of a charge depends on
-- other charges and on pending payments. Without the lock, a second settlement could change these rows while the first one
-- decides.
-- The lock costs little, because NOTIFY serializes the commits anyway.
SELECT take_settling_turn();

-- name: find_delivered
-- Return which of these delivery keys are already stored, so that a repeated event is not settled again.
-- $1 delivery keys
SELECT delivery_key
  FROM events
 WHERE delivery_key = ANY($1::text []);

-- name: find_charges
-- Find the stored charges that the events of a batch may be about. Each part of the UNION compares different ids. The last two
-- parts find charges that were paid at about the same time: by the supporter, and by the note if the charge is from BMC's list. BMC may
-- report one payment twice with different ids.
-- Use UNION, because each part then uses its own index. With OR between the conditions, Postgres would scan the whole table.
-- $1 charge keys, $2 transaction ids
-- $3 families, $4 bmc ids, $5 starts of billing periods or nulls: arrays of equal length
-- $6 psp ids, $7 starts of billing periods: arrays of equal length
-- $8 supporter ids, $9 times of payment: arrays of equal length; $10 maximum difference from the times in $9
-- $11 maximum difference between two starts of the same billing period
-- $12 notes, $13 times of payment: arrays of equal length; $14 maximum difference from the times in $13
SELECT charges.*
  FROM charges
 WHERE charges.charge_id IN (
           SELECT by_key.charge_id FROM charges AS by_key WHERE by_key.charge_key = ANY($1::text [])
            UNION
           SELECT by_transaction.charge_id
             FROM charges AS by_transaction
            WHERE by_transaction.source = 'bmc'
              AND by_transaction.transaction_id = ANY($2::text [])
              AND by_transaction.conflicts_with IS NULL
            UNION
           SELECT by_number.charge_id
             FROM unnest($3::text [], $4::text [], $5::timestamptz []) AS named (family, bmc_id, period_start)
             JOIN charges AS by_number
               ON by_number.family = named.family
              AND by_number.bmc_id = named.bmc_id
              AND CASE
                      WHEN named.period_start IS NULL THEN by_number.period_start IS NULL
                      ELSE by_number.period_start BETWEEN named.period_start - $11::interval AND named.period_start + $11::interval
                  END
            UNION
           SELECT by_period.charge_id
             FROM unnest($6::text [], $7::timestamptz []) AS named (psp_id, period_start)
             JOIN charges AS by_period
               ON by_period.psp_id = named.psp_id
              AND by_period.period_start BETWEEN named.period_start - $11::interval AND named.period_start + $11::interval
            UNION
           SELECT by_supporter.charge_id
             FROM unnest($8::text [], $9::timestamptz []) AS paid (supporter_id, paid_at)
             JOIN charges AS by_supporter
               ON by_supporter.supporter_id = paid.supporter_id
              AND by_supporter.paid_at BETWEEN paid.paid_at - $10::interval AND paid.paid_at + $10::interval
            UNION
           SELECT by_note.charge_id
             FROM unnest($12::text [], $13::timestamptz []) AS written (note, paid_at)
             JOIN charges AS by_note
               ON by_note.channel = 'api'
              AND by_note.note = written.note
              AND by_note.paid_at BETWEEN written.paid_at - $14::interval AND written.paid_at + $14::interval
       );

-- name: find_charges_noted
-- Find charges that have the same note as a row of BMC's list and were paid at about the same time. BMC may list a payment as
-- support and report it as a subscription, with different ids.
-- $1 notes, $2 times of payment: arrays of equal length; $3 maximum difference from these times
SELECT charges.*
  FROM unnest($1::text [], $2::timestamptz []) AS written (note, paid_at)
  JOIN charges
    ON charges.note = written.note
   AND charges.paid_at BETWEEN written.paid_at - $3::interval AND written.paid_at + $3::interval;

-- name: find_waiting
-- Find unmatched charges that have one of these amounts and were paid at about the time given for the amount. While such a charge
-- is unmatched, a different charge with the same amount and about the same time is not matched by a guess.
-- $1 amounts, $2 currencies, $3 times of payment: arrays of equal length; $4 maximum difference from these times
-- $5 maximum number of charges for each amount
SELECT DISTINCT waiting.charge_key, waiting.amount, waiting.currency, waiting.paid_at
  FROM unnest($1::numeric [], $2::text [], $3::timestamptz []) AS paid (amount, currency, paid_at)
 CROSS JOIN LATERAL (
           SELECT alike.charge_key, alike.amount, alike.currency, alike.paid_at
             FROM charges AS alike
            WHERE alike.state = 'unmatched'
              AND alike.amount = paid.amount
              AND alike.currency = paid.currency
              AND alike.paid_at BETWEEN paid.paid_at - $4::interval AND paid.paid_at + $4::interval
            ORDER BY alike.paid_at
            LIMIT $5
       ) AS waiting;

-- name: find_charges_by_keys
-- $1 charge keys
SELECT *
  FROM charges
 WHERE charge_key = ANY($1::text []);

-- name: find_users_of_supporters
-- Find the users to whom charges of these supporters were matched by a code. Other matches do not prove for which user a
-- supporter pays.
-- $1 supporter ids
SELECT DISTINCT supporter_id, telegram_id
  FROM charges
 WHERE supporter_id = ANY($1::text [])
   AND telegram_id IS NOT NULL
   AND method = 'code';

-- name: find_users_of_subscriptions
-- For each subscription, find the users to whom its charges were matched. The column `is_undone` is true if a match to the user
-- was undone and no charge of the subscription was matched to the user after that. A guess counts only if it was taken back.
-- A charge belongs to a subscription if both have the same psp id (the id at the payment provider). If the charge or the
-- subscription has no psp id, both must have the same family and bmc id.
-- $1 names of subscriptions, $2 their psp ids or nulls, $3 families, $4 bmc ids: arrays of equal length
WITH theirs AS (
    SELECT named.name, charges.charge_id, charges.telegram_id, charges.method, charges.matched_at
      FROM unnest($1::text [], $2::text []) AS named (name, psp_id)
      JOIN charges ON charges.psp_id = named.psp_id
     UNION
    SELECT named.name, charges.charge_id, charges.telegram_id, charges.method, charges.matched_at
      FROM unnest($1::text [], $2::text [], $3::text [], $4::text []) AS named (name, psp_id, family, bmc_id)
      JOIN charges
        ON charges.family = named.family
       AND charges.bmc_id = named.bmc_id
       AND (charges.psp_id IS NULL OR named.psp_id IS NULL)
),

happened AS (
    SELECT name, telegram_id, matched_at AS at, false AS is_undone
      FROM theirs
     WHERE telegram_id IS NOT NULL AND method <> 'amount_and_time'
     UNION ALL
    SELECT theirs.name, taken.telegram_id, taken.created_at AS at, true AS is_undone
      FROM theirs
      JOIN credits AS taken ON taken.charge_id = theirs.charge_id AND taken.kind = 'reversal'
      JOIN credits AS given ON given.credit_id = taken.reverses AND given.kind = 'payment'
)

SELECT DISTINCT ON (name, telegram_id) name, telegram_id, is_undone
  FROM happened
 ORDER BY name ASC, telegram_id ASC, at DESC, is_undone DESC;

-- name: find_candidate_payments
-- Find pending payments that a charge may pay: those with the given codes, the open ones of the given users, and those of the
-- same amount that are open now or were open when the charge was paid.
-- For each amount, read only the $7 oldest payments. $7 is more than ten, and a user has at most ten open payments, so $7
-- payments belong to several users. A charge whose amount fits payments of several users is not matched by a guess. Reading more
-- payments would not change this.
-- $1 payment ids, $2 users
-- $3 amounts, $4 currencies, $5 times of payment, $6 latest times of opening: arrays of equal length; $7 maximum for each amount
SELECT payment_id, telegram_id, amount, currency, status, created_at, ended_at, requested_again_at
  FROM pending_payments
 WHERE payment_id = ANY($1::text [])
    OR (status = 'pending' AND telegram_id = ANY($2::bigint []))
UNION
SELECT rivals.payment_id, rivals.telegram_id, rivals.amount, rivals.currency, rivals.status, rivals.created_at, rivals.ended_at,
       rivals.requested_again_at
  FROM unnest($3::numeric [], $4::text [], $5::timestamptz [], $6::timestamptz []) AS paid (amount, currency, at, until)
 CROSS JOIN LATERAL (
           (
               SELECT open.*
                 FROM pending_payments AS open
                WHERE open.status = 'pending'
                  AND open.amount = paid.amount
                  AND open.currency = paid.currency
                  AND open.created_at <= paid.until
                ORDER BY open.created_at
                LIMIT $7
           )
           UNION ALL
           (
               SELECT ended.*
                 FROM pending_payments AS ended
                WHERE ended.status <> 'pending'
                  AND ended.amount = paid.amount
                  AND ended.currency = paid.currency
                  AND ended.ended_at > paid.at
                  AND ended.created_at <= paid.until
                ORDER BY ended.created_at
                LIMIT $7
           )
       ) AS rivals;

-- name: find_guesses
-- For each user, return the time of the last guess, and the time at which a guess was last taken back.
-- $1 users
SELECT telegram_id, max(guessed_at) AS guessed_at, max(taken_back_at) AS taken_back_at
  FROM guesses
 WHERE telegram_id = ANY($1::bigint [])
 GROUP BY telegram_id;

-- name: find_outsiders
-- Return which of these supporters, subscriptions and items are marked as outsiders.
-- $1 kinds, $2 names: arrays of equal length
SELECT outsiders.outsider_id, outsiders.kind, outsiders.name
  FROM unnest($1::text [], $2::text []) AS named (kind, name)
  JOIN outsiders ON outsiders.kind = named.kind AND outsiders.name = named.name AND outsiders.ended_at IS NULL;

-- name: find_mentioned_users
-- Find the users with these usernames or Telegram ids.
-- $1 usernames in lower case, $2 Telegram ids
SELECT telegram_id, lower(username) AS username FROM users WHERE lower(username) = ANY($1::text [])
UNION ALL
SELECT telegram_id, NULL AS username FROM users WHERE telegram_id = ANY($2::bigint []);

-- name: find_erased_supporters
-- Return which of these supporters paid for a user who was erased. A user who writes to the bot later no longer counts as erased.
-- $1 supporter ids
SELECT DISTINCT charges.supporter_id
  FROM charges
  JOIN users ON users.telegram_id = charges.telegram_id AND users.erased_at IS NOT NULL
 WHERE charges.supporter_id = ANY($1::text []);

-- name: find_erased_users
-- Return which of these users asked to be erased.
-- $1 users
SELECT telegram_id FROM users WHERE telegram_id = ANY($1::bigint []) AND erased_at IS NOT NULL;

-- name: keep_events
-- Store the events of a batch. An event that is already stored is skipped.
-- $1 delivery keys, $2 types, $3 live modes, $4 attempts, $5 bodies, $6 outcomes, $7 charge keys, $8 times of receipt,
-- $9 positions of the verifying secrets, $10 supporter ids, $11 times at which the bodies were blanked, or nulls, $12 channels:
-- arrays of one length
INSERT INTO events (
    delivery_key, type, live_mode, attempt, body, outcome, charge_key, received_at, verified_by, supporter_id, blanked_at, channel
)
SELECT *
  FROM unnest(
           $1::text [], $2::text [], $3::boolean [], $4::integer [], $5::bytea [], $6::text [], $7::text [],
           $8::timestamptz [], $9::smallint [], $10::text [], $11::timestamptz [], $12::text []
       )
ON CONFLICT (delivery_key, source) DO NOTHING;

-- name: meet_supporters
-- Store the newest name and e-mail address of each supporter. The rows are sorted, so that concurrent transactions lock them in
-- the same order and cannot deadlock.
-- $1 supporter ids, $2 names, $3 e-mail addresses: arrays of equal length; $4 now
INSERT INTO supporters AS known (supporter_id, name, email, first_seen_at, last_seen_at)
SELECT seen.supporter_id, seen.name, seen.email, $4, $4
  FROM unnest($1::text [], $2::text [], $3::text []) AS seen (supporter_id, name, email)
 ORDER BY seen.supporter_id
ON CONFLICT (supporter_id) DO UPDATE
SET name = coalesce(excluded.name, known.name),
    email = coalesce(excluded.email, known.email),
    last_seen_at = greatest(excluded.last_seen_at, known.last_seen_at);

-- name: keep_charges
-- Insert new charges and update known ones.
-- $1 JSON array with one object for each charge; the keys are the columns
INSERT INTO charges AS kept (
    charge_key, source, family, bmc_id, transaction_id, psp_id, period_start, supporter_id, amount, currency, note, item, item_name,
    payer_name, paid_at, state, is_paid, is_held, doubt, told, conflicts_with, dismissed_by, method, reasons, payment_id, telegram_id, flag,
    matched_at, refunded_at, refunded_amount, channel
)
SELECT charge_key, source, family, bmc_id, transaction_id, psp_id, period_start, supporter_id, amount, currency, note, item, item_name,
       payer_name, paid_at, state, is_paid, is_held, doubt, told, conflicts_with, dismissed_by, method, reasons, payment_id, telegram_id,
       flag, matched_at, refunded_at, refunded_amount, channel
  FROM jsonb_populate_recordset(NULL::charges, $1::jsonb)
ON CONFLICT (charge_key) DO UPDATE
SET bmc_id = excluded.bmc_id, transaction_id = excluded.transaction_id, psp_id = excluded.psp_id,
    supporter_id = excluded.supporter_id, amount = excluded.amount, currency = excluded.currency, note = excluded.note,
    item = excluded.item, item_name = excluded.item_name, payer_name = excluded.payer_name, paid_at = excluded.paid_at,
    state = excluded.state, is_paid = excluded.is_paid, is_held = excluded.is_held, doubt = excluded.doubt, told = excluded.told,
    dismissed_by = excluded.dismissed_by, method = excluded.method, reasons = excluded.reasons,
    payment_id = excluded.payment_id, telegram_id = excluded.telegram_id, flag = excluded.flag,
    matched_at = excluded.matched_at, refunded_at = excluded.refunded_at, refunded_amount = excluded.refunded_amount;

-- name: credit_charges
-- Credit each charge at most once: the unique index credited_once prevents a second credit. Returns only the charges that were
-- credited now.
-- $1 charge keys, $2 users, $3 credits: arrays of equal length; $4 now
INSERT INTO credits (charge_id, kind, telegram_id, credits, created_at)
SELECT charges.charge_id, 'payment', paid.telegram_id, paid.credits, $4
  FROM unnest($1::text [], $2::bigint [], $3::bigint []) AS paid (charge_key, telegram_id, credits)
  JOIN charges ON charges.charge_key = paid.charge_key
ON CONFLICT (charge_id, follows) WHERE kind = 'payment' DO NOTHING
RETURNING charge_id;

-- name: reverse_refunded_charges
-- Take back the remaining credits of these charges, because the payments were refunded.
-- $1 charge keys, $2 now
INSERT INTO credits (charge_id, kind, telegram_id, credits, reverses, created_at)
SELECT given.charge_id, 'refund', given.telegram_id, -credits_left(given.credit_id), given.credit_id, $2
  FROM charges
  JOIN credits AS given ON given.charge_id = charges.charge_id AND given.kind = 'payment'
 WHERE charges.charge_key = ANY($1::text [])
   AND credits_left(given.credit_id) > 0
RETURNING telegram_id;

-- name: keep_guesses
-- Record that charges were matched to users by a guess.
-- $1 charge keys, $2 users: arrays of equal length; $3 now
INSERT INTO guesses (charge_id, telegram_id, guessed_at)
SELECT charges.charge_id, guessed.telegram_id, $3
  FROM unnest($1::text [], $2::bigint []) AS guessed (charge_key, telegram_id)
  JOIN charges ON charges.charge_key = guessed.charge_key
ON CONFLICT (charge_id) DO NOTHING;

-- name: end_outsiders!
-- End these marks of outsiders. A match to a user showed that the mark was wrong, or an operator undid a dismissal that the mark
-- caused or that made the mark.
-- $1 outsider ids, $2 now
UPDATE outsiders SET ended_at = $2 WHERE outsider_id = ANY($1::bigint []) AND ended_at IS NULL;

-- name: tell_operators_of_overdrafts
-- Notify the operators about each of these users whose balance is negative. This happens if a refund, or a guess that the user
-- rejected, takes back credits that the user has already spent.
-- $1 users whose credits were just taken back
INSERT INTO notifications (telegram_id, kind, facts)
SELECT NULL, 'refund_overdrawn', jsonb_build_object('telegram_id', telegram_id, 'balance', balance)
  FROM balances
 WHERE telegram_id = ANY($1::bigint [])
   AND balance < 0;

-- name: complete_payments!
-- Complete pending payments. A payment that is already cancelled or expired keeps its status.
-- $1 payment ids, $2 JSON about the charge that completed each payment: arrays of equal length; $3 now
UPDATE pending_payments
   SET status = 'completed', completed_at = $3, ended_at = $3, bmc_data = paid.bmc_data
  FROM unnest($1::text [], $2::jsonb []) AS paid (payment_id, bmc_data)
 WHERE pending_payments.payment_id = paid.payment_id
   AND pending_payments.status = 'pending';

-- name: queue_notifications
-- Queue notifications. A fact key names the fact that a notification reports. Skip a notification whose fact key was already
-- used, so that no fact is reported twice. A notification without a fact key is always queued.
-- $1 users, null for the operators, $2 kinds, $3 facts, JSON, $4 fact keys, $5 traces or nulls: arrays of equal length
INSERT INTO notifications (telegram_id, kind, facts, fact_key, traceparent)
SELECT *
  FROM unnest($1::bigint [], $2::text [], $3::jsonb [], $4::text [], $5::text [])
ON CONFLICT (fact_key) DO NOTHING;

-- name: announce
-- Wake the listeners, which then find the changes by queries. All payloads are equal, so that Postgres sends only one NOTIFY for
-- a transaction.
SELECT pg_notify('payments', '');

-- name: count_signature_failures
-- Count deliveries with a wrong signature. Notify the operators only if no wrong signature was counted since $3, so that they get
-- one message for each burst. Returns no row if the operators are not notified.
-- $1 minute, $2 number of failures, $3 time
WITH counted AS (
    INSERT INTO signature_failures AS known (minute, failures)
    VALUES ($1, $2)
    ON CONFLICT (minute) DO UPDATE SET failures = known.failures + excluded.failures
)
INSERT INTO notifications (telegram_id, kind, facts, fact_key)
SELECT NULL, 'signature_failures', jsonb_build_object('count', $2::bigint), 'signature_failures:' || $1::timestamptz
 WHERE NOT EXISTS (SELECT FROM signature_failures WHERE minute >= $3)
ON CONFLICT (fact_key) DO NOTHING
-- Return true instead of the id, because the webhook has no privilege to read the ids of notifications.
RETURNING true;

-- name: count_refused
-- Return how many deliveries all webhook replicas together have refused since the last accepted delivery.
-- $1 if the last refusal was before this time, the number is 0
SELECT CASE WHEN refused_at < $1 THEN 0 ELSE refused END FROM webhook_answers;

-- name: keep_answers
-- Update the number of deliveries that all webhook replicas together have refused since the last accepted delivery. Each call
-- adds the answers of one replica.
-- Compare the times of the answers, because the replicas can write in a different order than they answered.
-- $1 time of the last accepted delivery of the replica, or null, $2 number of its refusals after $1
-- $3 time of its last refusal, or null
-- $4 if the last refusal was before this time, the number starts again at 0
UPDATE webhook_answers
   SET accepted_at = greatest(accepted_at, $1),
       refused = CASE WHEN $1 > accepted_at OR refused_at < $4 THEN 0 ELSE refused END
           + CASE WHEN $3::timestamptz > accepted_at THEN $2::integer ELSE 0 END,
       refused_at = greatest(refused_at, $3)
RETURNING refused;
