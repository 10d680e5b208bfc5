-- Every statement the services send, under its name. A test prepares each one against a fresh db/init.sql.

-- name: ping
SELECT true;

-- Settling ------------------------------------------------------------------------------------------------------------

-- name: lock_settling
-- One settlement at a time in the whole database, until the end of the transaction: matching reads what other charges and
-- payments there are. Costs nothing beside the NOTIFY, which lets commits go one at a time as well.
SELECT pg_advisory_xact_lock(4711001);

-- name: find_digests
-- Which of these events, or contradictions of them, came before.
-- $1 delivery keys
SELECT delivery_key, digest
  FROM bmc_events
 WHERE delivery_key = ANY($1::text []);

-- name: find_charges
-- The charges named by these keys, or by BMC's own number where a transaction id may be missing.
-- $1 charge keys, $2 families and $3 BMC ids: arrays of one length
SELECT charges.charge_key, charges.family, charges.bmc_id, charges.transaction_id, charges.psp_id, charges.supporter_id,
       charges.amount, charges.currency, charges.note, charges.paid_at, charges.state, charges.is_paid, charges.method,
       charges.reasons, charges.payment_id, charges.telegram_id, charges.flag, charges.matched_at, charges.refunded_at
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
       charges.amount, charges.currency, charges.note, charges.paid_at, charges.state, charges.is_paid, charges.method,
       charges.reasons, charges.payment_id, charges.telegram_id, charges.flag, charges.matched_at, charges.refunded_at
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
-- Payments that may be meant: by their code, by being open for a known user, by amount and time.
-- $1 payment ids, $2 users, $3 amounts, $4 currencies, $5 from, $6 to: the last four are arrays of one length
SELECT payment_id, telegram_id, amount, currency, status, created_at
  FROM pending_payments
 WHERE payment_id = ANY($1::text [])
    OR (status = 'pending' AND telegram_id = ANY($2::bigint []))
UNION
SELECT open.payment_id, open.telegram_id, open.amount, open.currency, open.status, open.created_at
  FROM unnest($3::numeric [], $4::text [], $5::timestamptz [], $6::timestamptz []) AS paid (amount, currency, since, until)
  JOIN pending_payments AS open
    ON open.status = 'pending'
   AND open.amount = paid.amount
   AND open.currency = paid.currency
   AND open.created_at BETWEEN paid.since AND paid.until;

-- name: keep_events
-- $1 delivery keys, $2 types, $3 live modes, $4 attempts, $5 bodies, $6 digests, $7 outcomes, $8 charge keys,
-- $9 times of receipt: arrays of one length
INSERT INTO bmc_events (delivery_key, type, live_mode, attempt, body, digest, outcome, charge_key, received_at)
SELECT *
  FROM unnest(
           $1::text [], $2::text [], $3::boolean [], $4::integer [], $5::bytea [], $6::bytea [], $7::text [], $8::text [],
           $9::timestamptz []
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
    charge_key, family, bmc_id, transaction_id, psp_id, supporter_id, amount, currency, note, paid_at, state, is_paid, method,
    reasons, payment_id, telegram_id, flag, matched_at, refunded_at
)
SELECT charge_key, family, bmc_id, transaction_id, psp_id, supporter_id, amount, currency, note, paid_at, state, is_paid, method,
       reasons, payment_id, telegram_id, flag, matched_at, refunded_at
  FROM jsonb_populate_recordset(NULL::charges, $1::jsonb)
ON CONFLICT (charge_key) DO UPDATE
SET bmc_id = excluded.bmc_id, transaction_id = excluded.transaction_id, supporter_id = excluded.supporter_id,
    amount = excluded.amount, currency = excluded.currency, note = excluded.note, paid_at = excluded.paid_at,
    state = excluded.state, is_paid = excluded.is_paid, method = excluded.method, reasons = excluded.reasons,
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
-- Take back what these charges gave, once. Nothing where nothing was given.
-- $1 charge keys
INSERT INTO credits (charge_id, kind, telegram_id, credits)
SELECT given.charge_id, 'refund', given.telegram_id, -given.credits
  FROM charges
  JOIN credits AS given ON given.charge_id = charges.charge_id AND given.kind = 'payment'
 WHERE charges.charge_key = ANY($1::text [])
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
-- $1 users, null for the operators, $2 kinds, $3 facts, JSON, $4 fact keys: arrays of one length
INSERT INTO notifications (telegram_id, kind, facts, fact_key)
SELECT *
  FROM unnest($1::bigint [], $2::text [], $3::jsonb [], $4::text [])
ON CONFLICT (fact_key) DO NOTHING;

-- name: announce
-- A hint that there is something to look for; what it is, a query finds. Empty, so that one transaction sends one.
SELECT pg_notify('payments', '');

-- Janitor -------------------------------------------------------------------------------------------------------------

-- name: try_lock_task
-- One janitor at a time does a task; the other has nothing to do. Until the end of the transaction.
-- $1 the task's number
SELECT pg_try_advisory_xact_lock(4711002, $1::integer);

-- name: expire_payments
-- End what was never paid, and tell the users.
-- $1 now, $2 opened before this time, $3 how many at most
WITH ended AS (
    UPDATE pending_payments
       SET status = 'expired', ended_at = $1
     WHERE payment_id IN (
               SELECT payment_id
                 FROM pending_payments
                WHERE status = 'pending' AND created_at < $2
                ORDER BY created_at
                LIMIT $3
                  FOR UPDATE SKIP LOCKED
           )
    RETURNING payment_id, telegram_id, amount, currency
)
INSERT INTO notifications (telegram_id, kind, facts, fact_key)
SELECT telegram_id, 'payment_expired',
       jsonb_build_object('code', payment_id, 'amount', amount::text, 'currency', currency), 'expired:' || payment_id
  FROM ended
ON CONFLICT (fact_key) DO NOTHING
RETURNING notification_id;

-- name: blank_events
-- Forget what BMC sent, word for word; the keys stay, so that a repeat is still known as one.
-- $1 now, $2 received before this time, $3 how many at most
UPDATE bmc_events
   SET body = NULL, blanked_at = $1
 WHERE event_no IN (
           SELECT event_no FROM bmc_events WHERE body IS NOT NULL AND received_at < $2 ORDER BY received_at LIMIT $3
       )
RETURNING event_no;

-- name: blank_notes
-- $1 recorded before this time, $2 how many at most
UPDATE charges
   SET note = NULL
 WHERE charge_id IN (
           SELECT charge_id FROM charges WHERE note IS NOT NULL AND recorded_at < $1 ORDER BY recorded_at LIMIT $2
       )
RETURNING charge_id;

-- name: blank_supporters
-- $1 last seen before this time, $2 how many at most
UPDATE supporters
   SET name = NULL, email = NULL
 WHERE supporter_id IN (
           SELECT supporter_id
             FROM supporters
            WHERE (name IS NOT NULL OR email IS NOT NULL) AND last_seen_at < $1
            ORDER BY last_seen_at
            LIMIT $2
       )
RETURNING supporter_id;

-- name: delete_old_notifications
-- What was told, or could not be, is no longer owed.
-- $1 queued before this time, $2 how many at most
DELETE FROM notifications
 WHERE notification_id IN (
           SELECT notification_id
             FROM notifications
            WHERE status <> 'pending' AND created_at < $1
            ORDER BY notification_id
            LIMIT $2
       )
RETURNING notification_id;

-- name: find_unmatched_charges
-- $1 after this charge id, $2 how many at most
SELECT charge_id, charge_key
  FROM charges
 WHERE state = 'unmatched' AND is_paid AND charge_id > $1
 ORDER BY charge_id
 LIMIT $2;

-- name: measure_drift
-- Credits by which balances differ from the sum of their entries, added up without signs: 0, always.
SELECT coalesce(sum(abs(coalesce(balances.balance, 0) - coalesce(entered.credits, 0))), 0)::bigint
  FROM balances
  FULL JOIN (SELECT telegram_id, sum(credits) AS credits FROM credits GROUP BY telegram_id) AS entered
    ON entered.telegram_id = balances.telegram_id;

-- Bot -----------------------------------------------------------------------------------------------------------------

-- name: meet_user!
-- Know a user, or know better; they can be reached, as they have just written.
-- $1 Telegram id, $2 language, $3 username or null
INSERT INTO users AS known (telegram_id, language, username)
VALUES ($1, $2, $3)
ON CONFLICT (telegram_id) DO UPDATE
SET language = excluded.language, username = excluded.username, unreachable_at = NULL
WHERE (known.language, known.username, known.unreachable_at) IS DISTINCT FROM (excluded.language, excluded.username, NULL);

-- name: mark_unreachable!
-- $1 Telegram id, $2 now
UPDATE users SET unreachable_at = $2 WHERE telegram_id = $1 AND unreachable_at IS NULL;

-- name: lock_opening
-- Pending payments are opened one at a time, until the end of the transaction: a new code looks at all that went before.
SELECT pg_advisory_xact_lock(4711003);

-- name: find_payment_of_request
-- $1 request key
SELECT payment_id, telegram_id, amount, currency, status, created_at FROM pending_payments WHERE request_key = $1;

-- name: find_payment
-- $1 payment id
SELECT payment_id, telegram_id, amount, currency, status, created_at FROM pending_payments WHERE payment_id = $1;

-- name: find_open_payments
-- $1 Telegram id
SELECT payment_id, telegram_id, amount, currency, status, created_at
  FROM pending_payments
 WHERE telegram_id = $1 AND status = 'pending'
 ORDER BY created_at;

-- name: find_taken_codes
-- Which of these were ever given out.
-- $1 payment ids
SELECT payment_id FROM pending_payments WHERE payment_id = ANY($1::text []);

-- name: open_payment
-- $1 payment id, $2 Telegram id, $3 amount, $4 currency, $5 request key, $6 now
INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount, currency, request_key, created_at)
VALUES ($1, $2, $2, $3, $4, $5, $6)
RETURNING payment_id, telegram_id, amount, currency, status, created_at;

-- name: cancel_payment
-- Only one's own, only while it is open.
-- $1 payment id, $2 Telegram id, $3 now
UPDATE pending_payments
   SET status = 'cancelled', ended_at = $3
 WHERE payment_id = $1 AND telegram_id = $2 AND status = 'pending'
RETURNING payment_id, telegram_id, amount, currency, status, created_at;

-- name: find_balance
-- $1 Telegram id
SELECT balance FROM balances WHERE telegram_id = $1;

-- name: find_history
-- $1 Telegram id, $2 how many at most
SELECT credits.kind, credits.credits, credits.created_at, credits.cause, charges.amount, charges.currency
  FROM credits
  LEFT JOIN charges USING (charge_id)
 WHERE credits.telegram_id = $1
 ORDER BY credits.credit_id DESC
 LIMIT $2;

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
    RETURNING kind, facts, created_at, due_at
)
INSERT INTO notifications (telegram_id, kind, facts, created_at, due_at)
SELECT operators.telegram_id, owed.kind, owed.facts, owed.created_at, owed.due_at
  FROM owed
 CROSS JOIN unnest($1::bigint []) AS operators (telegram_id);

-- name: claim_notifications
-- Take what is due for as long as the lease lasts; what a killed sender had taken comes up again after it.
-- $1 now, $2 end of the lease, $3 how many at most, $4 users who must wait
WITH claimed AS (
    UPDATE notifications
       SET due_at = $2, attempts = attempts + 1
     WHERE notification_id IN (
               SELECT notification_id
                 FROM notifications
                WHERE status = 'pending' AND NOT telegram_id = ANY($4::bigint []) AND due_at <= $1
                ORDER BY due_at, notification_id
                LIMIT $3
                  FOR UPDATE SKIP LOCKED
           )
    RETURNING notification_id, telegram_id, kind, facts, attempts, created_at
)
SELECT claimed.notification_id, claimed.telegram_id, claimed.kind, claimed.facts, claimed.attempts, claimed.created_at,
       coalesce(users.language, 'en') AS language, coalesce(balances.balance, 0) AS balance, charges.reasons
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
