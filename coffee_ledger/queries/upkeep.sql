-- Statements for the periodic work of the janitor: expire pending payments, settle events again, delete and blank old data, match
-- charges again, and check balances and counts.

-- name: try_lock_task
-- Lock the table of a task until the end of the transaction, so that only one janitor at a time runs the task. Returns false if
-- another janitor has locked the table.
-- $1 table
SELECT try_turn($1);

-- name: expire_payments
-- Expire pending payments, and notify their users. SKIP LOCKED skips a payment that another transaction is changing. The next
-- run expires this payment if it is still pending.
-- $1 now, $2 opened before this time, $3 maximum
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

-- name: find_requested_retries
-- Find the events for which an operator has requested a retry: the janitor must settle them again.
-- $1 maximum
SELECT event_no
  FROM events
 WHERE outcome IN ('failed', 'unreadable') AND body IS NOT NULL AND retry_requested_at IS NOT NULL
 ORDER BY event_no
 LIMIT $1;

-- name: find_requested_retry
-- Find an event for which an operator has requested a retry. Returns no row if the retry has ended.
-- $1 event number
SELECT delivery_key, body, received_at, channel
  FROM events
 WHERE event_no = $1 AND body IS NOT NULL AND retry_requested_at IS NOT NULL;

-- name: end_retry
-- Store the outcome of a retry, and end the request to retry.
-- $1 event number, $2 outcome, $3 charge key or null
UPDATE events
   SET retry_requested_at = NULL, outcome = $2, charge_key = coalesce($3, charge_key)
 WHERE event_no = $1;

-- name: blank_events
-- Blank the bodies of old events. The keys of the events stay, so that a repeated event is still recognised. The body of an
-- event that failed or could not be read stays until an operator dismisses the event, because no other record of it exists.
-- $1 now, $2 received before this time, $3 maximum
UPDATE events
   SET body = NULL, blanked_at = $1
 WHERE event_no IN (
           SELECT event_no
             FROM events
            WHERE body IS NOT NULL
              AND received_at < $2
              AND (outcome NOT IN ('failed', 'unreadable') OR dismissed_at IS NOT NULL)
            ORDER BY received_at
            LIMIT $3
       )
RETURNING event_no;

-- name: blank_notes
-- Blank the notes and payer names of old charges. Skip unmatched charges, because an operator needs these texts to decide.
-- $1 recorded before this time, $2 maximum
UPDATE charges
   SET note = NULL, payer_name = NULL
 WHERE charge_id IN (
           SELECT charge_id
             FROM charges
            WHERE (note IS NOT NULL OR payer_name IS NOT NULL) AND recorded_at < $1 AND state <> 'unmatched'
            ORDER BY recorded_at
            LIMIT $2
       )
RETURNING charge_id;

-- name: blank_supporters
-- Blank the names and e-mail addresses of old supporters. Skip supporters with an unmatched charge, because an operator needs the
-- name and the address to decide.
-- $1 last seen before this time, $2 maximum
UPDATE supporters
   SET name = NULL, email = NULL
 WHERE supporter_id IN (
           SELECT supporter_id
             FROM supporters
            WHERE (name IS NOT NULL OR email IS NOT NULL)
              AND last_seen_at < $1
              AND NOT EXISTS (
                      SELECT FROM charges WHERE charges.supporter_id = supporters.supporter_id AND charges.state = 'unmatched'
                  )
            ORDER BY last_seen_at
            LIMIT $2
       )
RETURNING supporter_id;

-- name: delete_old_notifications
-- Delete old notifications that are no longer pending.
-- $1 queued before this time, $2 maximum
DELETE FROM notifications
 WHERE notification_id IN (
           SELECT notification_id
             FROM notifications
            WHERE status <> 'pending' AND created_at < $1
            ORDER BY notification_id
            LIMIT $2
       )
RETURNING notification_id;

-- name: blank_claims
-- Blank the names in old claims. Skip open claims, because an operator still compares the name with the charges.
-- $1 raised before this time, $2 maximum
UPDATE claims
   SET name = NULL
 WHERE claim_id IN (
           SELECT claim_id
             FROM claims
            WHERE name IS NOT NULL AND created_at < $1 AND status <> 'open'
            ORDER BY created_at
            LIMIT $2
       )
RETURNING claim_id;

-- name: delete_old_signature_failures
-- $1 counted before this time, $2 maximum
DELETE FROM signature_failures
 WHERE minute IN (SELECT minute FROM signature_failures WHERE minute < $1 ORDER BY minute LIMIT $2)
RETURNING minute;

-- name: delete_old_dialogues
-- $1 last updated before this time, $2 maximum
DELETE FROM dialogues
 WHERE telegram_id IN (SELECT telegram_id FROM dialogues WHERE updated_at < $1 ORDER BY updated_at LIMIT $2)
RETURNING telegram_id;

-- name: delete_old_offers
-- $1 offered before this time, $2 maximum
DELETE FROM dismissal_offers
 WHERE offer_id IN (SELECT offer_id FROM dismissal_offers WHERE offered_at < $1 ORDER BY offered_at LIMIT $2)
RETURNING offer_id;

-- name: close_answered_claims
-- Confirm an open claim if a charge was paid before the claim was raised, and was matched to the claim's user after the claim was
-- raised. The charge must also have the amount of the claim, or be one of the claim's `candidates`, which are the charges that
-- fitted the claim when it was raised.
-- $1 now
UPDATE claims
   SET status = 'confirmed', decided_at = $1, charge_id = charges.charge_id
  FROM charges
 WHERE claims.status = 'open'
   AND charges.telegram_id = claims.telegram_id
   AND charges.state = 'matched'
   AND charges.matched_at > claims.created_at
   AND charges.paid_at <= claims.created_at
   AND (charges.charge_id = ANY(claims.candidates) OR (charges.amount, charges.currency) = (claims.amount, claims.currency))
RETURNING claims.claim_id;

-- name: find_unmatched_charges
-- Find a page of the unmatched charges that the rules may match. The page begins after the charge id $1.
-- $1 last charge id of the previous page, $2 maximum
SELECT charge_id, charge_key
  FROM charges
 WHERE state = 'unmatched' AND is_paid AND NOT is_held AND charge_id > $1
 ORDER BY charge_id
 LIMIT $2;

-- name: measure_drift
-- For each user, compute the absolute difference between the balance and the sum of the user's ledger entries. Return the sum of
-- these differences over all users, which must be 0.
SELECT coalesce(sum(abs(coalesce(balances.balance, 0) - coalesce(entered.credits, 0))), 0)::bigint
  FROM balances
  FULL JOIN (SELECT telegram_id, sum(credits) AS credits FROM credits GROUP BY telegram_id) AS entered
    ON entered.telegram_id = balances.telegram_id;

-- name: lock_counts
-- Let only one janitor at a time correct the counts. This lock mode conflicts with itself, but not with the triggers that
-- insert counts.
LOCK TABLE counts IN SHARE UPDATE EXCLUSIVE MODE;

-- name: correct_counts
-- Correct the table `counts` by adding the differences that the view missing_counts finds. The view reads all pending payments,
-- charges and entries, so the statement takes seconds if there are millions of these rows.
INSERT INTO counts (counted, kind, method, currency, number, amount)
SELECT counted, kind, method, currency, number, amount FROM missing_counts
RETURNING counted, kind, number;
