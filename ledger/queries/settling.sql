-- What an event changes: read by the pure fold of ledger/settling.py, written in one transaction.

-- name: ping
SELECT true;

-- name: find_schema_version
SELECT schema_version();

-- name: lock_settling
-- One settlement at a time in the whole database, until the end of the transaction: matching reads what other charges and
-- payments there are. Costs nothing beside the NOTIFY, which lets commits go one at a time as well.
SELECT take_settling_turn();

-- name: find_digests
-- Which of these events, or contradictions of them, came before.
-- $1 delivery keys
SELECT delivery_key, digest
  FROM events
 WHERE delivery_key = ANY($1::text []);

-- name: find_charges
-- The charges named by these keys, or by BMC's own number where a transaction id may be missing.
-- $1 charge keys, $2 families and $3 BMC ids: arrays of one length
SELECT charges.charge_key, charges.family, charges.bmc_id, charges.transaction_id, charges.psp_id, charges.supporter_id,
       charges.amount, charges.currency, charges.note, charges.paid_at, charges.state, charges.is_paid,
       charges.is_held, charges.method, charges.reasons, charges.payment_id, charges.telegram_id, charges.flag,
       charges.matched_at, charges.refunded_at
  FROM charges
 WHERE charges.charge_id IN (
           -- Two ways in by two indexes; joined by OR they would be a walk through the whole table.
           SELECT by_key.charge_id FROM charges AS by_key WHERE by_key.charge_key = ANY($1::text [])
            UNION
           SELECT by_number.charge_id
             FROM unnest($2::text [], $3::text []) AS named (family, bmc_id)
             JOIN charges AS by_number ON by_number.family = named.family AND by_number.bmc_id = named.bmc_id
       );

-- name: find_waiting_charges
-- Unmatched charges of these amounts, around these times: each may be the one that an open payment waits for.
-- $1 amounts, $2 currencies, $3 from, $4 to: arrays of one length
SELECT DISTINCT
       charges.charge_key, charges.family, charges.bmc_id, charges.transaction_id, charges.psp_id, charges.supporter_id,
       charges.amount, charges.currency, charges.note, charges.paid_at, charges.state, charges.is_paid,
       charges.is_held, charges.method, charges.reasons, charges.payment_id, charges.telegram_id, charges.flag,
       charges.matched_at, charges.refunded_at
  FROM unnest($1::numeric [], $2::text [], $3::timestamptz [], $4::timestamptz []) AS paid (amount, currency, since, until)
  JOIN charges
    ON charges.state = 'unmatched'
   AND charges.amount = paid.amount
   AND charges.currency = paid.currency
   AND charges.paid_at BETWEEN paid.since AND paid.until;

-- name: find_users_of_supporters
-- Which users these supporters proved to be, by a code or by an operator's word.
-- $1 supporter ids
SELECT DISTINCT supporter_id, telegram_id
  FROM charges
 WHERE supporter_id = ANY($1::text [])
   AND telegram_id IS NOT NULL
   AND method IN ('code', 'operator');

-- name: find_users_of_subscriptions
-- $1 psp ids
SELECT DISTINCT psp_id, telegram_id
  FROM charges
 WHERE psp_id = ANY($1::text [])
   AND telegram_id IS NOT NULL;

-- name: find_candidate_payments
-- Payments that may be meant: by their code, by being open for a known user, by amount and time. Of the last also those that were
-- given up since it was paid.
-- $1 payment ids, $2 users, $3 amounts, $4 currencies, $5 from, $6 to, $7 when it was paid: the last five are arrays of one length
SELECT payment_id, telegram_id, amount, currency, status, created_at, ended_at
  FROM pending_payments
 WHERE payment_id = ANY($1::text [])
    OR (status = 'pending' AND telegram_id = ANY($2::bigint []))
UNION
SELECT open.payment_id, open.telegram_id, open.amount, open.currency, open.status, open.created_at, open.ended_at
  FROM unnest($3::numeric [], $4::text [], $5::timestamptz [], $6::timestamptz []) AS paid (amount, currency, since, until)
  JOIN pending_payments AS open
    ON open.status = 'pending'
   AND open.amount = paid.amount
   AND open.currency = paid.currency
   AND open.created_at BETWEEN paid.since AND paid.until
UNION
SELECT gone.payment_id, gone.telegram_id, gone.amount, gone.currency, gone.status, gone.created_at, gone.ended_at
  FROM unnest($3::numeric [], $4::text [], $5::timestamptz [], $7::timestamptz []) AS paid (amount, currency, since, at)
  JOIN pending_payments AS gone
    ON gone.status IN ('cancelled', 'expired')
   AND gone.amount = paid.amount
   AND gone.currency = paid.currency
   AND gone.created_at BETWEEN paid.since AND paid.at
   AND gone.ended_at > paid.at;

-- name: keep_events
-- $1 delivery keys, $2 types, $3 live modes, $4 attempts, $5 bodies, $6 digests, $7 outcomes, $8 charge keys,
-- $9 times of receipt, $10 which secrets fitted, $11 supporter ids: arrays of one length
INSERT INTO events (
    delivery_key, type, live_mode, attempt, body, digest, outcome, charge_key, received_at, verified_by, supporter_id
)
SELECT *
  FROM unnest(
           $1::text [], $2::text [], $3::boolean [], $4::integer [], $5::bytea [], $6::bytea [], $7::text [], $8::text [],
           $9::timestamptz [], $10::smallint [], $11::text []
       )
ON CONFLICT (delivery_key) DO NOTHING;

-- name: meet_supporters
-- Keep the newest name and address of each.
-- $1 supporter ids, $2 names, $3 e-mail addresses: arrays of one length; $4 now
INSERT INTO supporters AS known (supporter_id, name, email, first_seen_at, last_seen_at)
SELECT seen.supporter_id, seen.name, seen.email, $4, $4
  FROM unnest($1::text [], $2::text [], $3::text []) AS seen (supporter_id, name, email)
 ORDER BY seen.supporter_id
ON CONFLICT (supporter_id) DO UPDATE
SET name = coalesce(excluded.name, known.name),
    email = coalesce(excluded.email, known.email),
    last_seen_at = greatest(excluded.last_seen_at, known.last_seen_at);

-- name: keep_charges
-- Record charges, or what changed of them. One object of $1 is one charge, its keys are the columns.
-- $1 a JSON array
INSERT INTO charges AS kept (
    charge_key, family, bmc_id, transaction_id, psp_id, supporter_id, amount, currency, note, paid_at, state, is_paid, is_held,
    method, reasons, payment_id, telegram_id, flag, matched_at, refunded_at
)
SELECT charge_key, family, bmc_id, transaction_id, psp_id, supporter_id, amount, currency, note, paid_at, state, is_paid, is_held,
       method, reasons, payment_id, telegram_id, flag, matched_at, refunded_at
  FROM jsonb_populate_recordset(NULL::charges, $1::jsonb)
ON CONFLICT (charge_key) DO UPDATE
SET bmc_id = excluded.bmc_id, transaction_id = excluded.transaction_id, supporter_id = excluded.supporter_id,
    amount = excluded.amount, currency = excluded.currency, note = excluded.note, paid_at = excluded.paid_at,
    state = excluded.state, is_paid = excluded.is_paid, is_held = excluded.is_held, method = excluded.method,
    reasons = excluded.reasons,
    payment_id = excluded.payment_id, telegram_id = excluded.telegram_id, flag = excluded.flag,
    matched_at = excluded.matched_at, refunded_at = excluded.refunded_at;

-- name: credit_charges
-- Credit each charge once: (charge_id, kind) is unique. A charge with no row here was credited before.
-- $1 charge keys, $2 users, $3 credits: arrays of one length
INSERT INTO credits (charge_id, kind, telegram_id, credits)
SELECT charges.charge_id, 'payment', paid.telegram_id, paid.credits
  FROM unnest($1::text [], $2::bigint [], $3::bigint []) AS paid (charge_key, telegram_id, credits)
  JOIN charges ON charges.charge_key = paid.charge_key
ON CONFLICT (charge_id, kind) WHERE kind IN ('payment', 'refund') DO NOTHING
RETURNING charge_id;

-- name: reverse_refunded_charges
-- Take back what these charges gave and an operator has not taken back before, once. Nothing where nothing was given.
-- $1 charge keys
INSERT INTO credits (charge_id, kind, telegram_id, credits)
SELECT charge_id, 'refund', telegram_id, -sum(given.credits)
  FROM charges
  JOIN credits AS given USING (charge_id, telegram_id)
 WHERE charges.charge_key = ANY($1::text [])
 GROUP BY charge_id, telegram_id
ON CONFLICT (charge_id, kind) WHERE kind IN ('payment', 'refund') DO NOTHING
RETURNING telegram_id;

-- name: tell_operators_of_overdrafts
-- A refund of credits that were spent already: the operators should know.
-- $1 users whose charges were refunded now
INSERT INTO notifications (telegram_id, kind, facts)
SELECT NULL, 'refund_overdrawn', jsonb_build_object('telegram_id', telegram_id, 'balance', balance)
  FROM balances
 WHERE telegram_id = ANY($1::bigint [])
   AND balance < 0;

-- name: complete_payments!
-- End pending payments whose charge came; one that was cancelled meanwhile stays so.
-- $1 payment ids, $2 what completed them, JSON: arrays of one length; $3 now
UPDATE pending_payments
   SET status = 'completed', completed_at = $3, ended_at = $3, bmc_data = paid.bmc_data
  FROM unnest($1::text [], $2::jsonb []) AS paid (payment_id, bmc_data)
 WHERE pending_payments.payment_id = paid.payment_id
   AND pending_payments.status = 'pending';

-- name: queue_notifications
-- Each fact once; a null fact key every time.
-- $1 users, null for the operators, $2 kinds, $3 facts, JSON, $4 fact keys, $5 traces or nulls: arrays of one length
INSERT INTO notifications (telegram_id, kind, facts, fact_key, traceparent)
SELECT *
  FROM unnest($1::bigint [], $2::text [], $3::jsonb [], $4::text [], $5::text [])
ON CONFLICT (fact_key) DO NOTHING;

-- name: announce
-- A hint that there is something to look for; what it is, a query finds. Empty, so that one transaction sends one.
SELECT pg_notify('payments', '');

-- name: count_signature_failures
-- Add to the counter; where there was nothing for a while, tell the operators.
-- $1 the minute, $2 how many, $3 a burst is over when there were none since then
WITH counted AS (
    INSERT INTO signature_failures AS known (minute, failures)
    VALUES ($1, $2)
    ON CONFLICT (minute) DO UPDATE SET failures = known.failures + excluded.failures
)
INSERT INTO notifications (telegram_id, kind, facts, fact_key)
SELECT NULL, 'signature_failures', jsonb_build_object('count', $2::bigint), 'signature_failures:' || $1::timestamptz
 WHERE NOT EXISTS (SELECT FROM signature_failures WHERE minute >= $3)
ON CONFLICT (fact_key) DO NOTHING
-- Not the id: the webhook may queue notifications, not read them.
RETURNING true;

-- name: count_refused
-- $1 a streak whose last refusal is older is none any more
SELECT CASE WHEN refused_at < $1 THEN 0 ELSE refused END FROM webhook_answers;

-- name: keep_answers
-- Refusals count from the last 200 of any webhook on, in the order of their times and not of their writing.
-- $1 when one was last accepted or null, $2 how many were refused since, $3 when the last of these was or null,
-- $4 a streak whose last refusal is older is none any more
UPDATE webhook_answers
   SET accepted_at = greatest(accepted_at, $1),
       refused = CASE WHEN $1 > accepted_at OR refused_at < $4 THEN 0 ELSE refused END
           + CASE WHEN $3::timestamptz > accepted_at THEN $2::integer ELSE 0 END,
       refused_at = greatest(refused_at, $3)
RETURNING refused;
