-- Statements for a user's pending payments, balance and history.

-- name: lock_opening
-- Let only one transaction at a time open a pending payment. The transaction compares its new code with all earlier codes,
-- because the new code must differ enough from each of them. Without the lock, a second transaction could store a similar code
-- after the comparison.
LOCK TABLE opening_turn IN EXCLUSIVE MODE;

-- name: find_payment_of_request
-- Find the pending payment that a request opened. If the request has already opened a payment, the request was sent twice and
-- must not open a second payment.
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
-- Return which of these codes were already issued. A code is never issued twice.
-- $1 payment ids
SELECT payment_id FROM pending_payments WHERE payment_id = ANY($1::text []);

-- name: open_payment
-- $1 payment id, $2 Telegram id, $3 amount, $4 currency, $5 request key, $6 now
INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount, currency, request_key, created_at)
VALUES ($1, $2, $2, $3, $4, $5, $6)
RETURNING payment_id, telegram_id, amount, currency, status, created_at;

-- name: request_again
-- Record that the user requested the amount of an open payment again. Returns no row if the payment is no longer open.
-- $1 payment id, $2 now, $3 maximum number of timestamps in requested_again_at; only the newest are kept
UPDATE pending_payments
   SET requested_again_at = (requested_again_at || $2::timestamptz)[greatest(1, cardinality(requested_again_at) + 2 - $3::integer):]
 WHERE payment_id = $1 AND status = 'pending'
RETURNING payment_id, telegram_id, amount, currency, status, created_at, requested_again_at;

-- name: cancel_payment
-- Cancel a pending payment. Returns no row if the payment is not open or belongs to another user.
-- $1 payment id, $2 Telegram id, $3 now
UPDATE pending_payments
   SET status = 'cancelled', ended_at = $3
 WHERE payment_id = $1 AND telegram_id = $2 AND status = 'pending'
RETURNING payment_id, telegram_id, amount, currency, status, created_at;

-- name: find_balance
-- Return a user's balance. Return null if another bot keeps the balances (handover_start has a row), because our ledger
-- then contains only a part of the changes of the balance.
-- $1 Telegram id
SELECT CASE
           WHEN NOT EXISTS (SELECT FROM handover_start)
               THEN coalesce((SELECT balance FROM balances WHERE telegram_id = $1), 0)
       END;

-- name: find_history
-- Return the last changes of a user's balance, the newest first.
-- $1 Telegram id, $2 maximum
SELECT CASE
           WHEN credits.is_not_mine THEN 'not_mine'
           WHEN credits.kind = 'reversal' AND reversed.kind = 'payment' THEN 'match_undone'
           WHEN credits.kind = 'reversal' AND reversed.kind = 'refund' THEN 'refund_corrected'
           WHEN credits.kind = 'refund' AND credits.action_id IS NOT NULL THEN 'refund_part'
           ELSE credits.kind
       END AS change,
       credits.credits, credits.created_at, credits.cause, charges.amount, charges.currency
  FROM credits
  LEFT JOIN charges USING (charge_id)
  LEFT JOIN credits AS reversed ON reversed.credit_id = credits.reverses
 WHERE credits.telegram_id = $1
 ORDER BY credits.credit_id DESC
 LIMIT $2;

-- name: spend_credits
-- Take credits from a balance. A repeated call with the same idempotency key takes no further credits.
-- $1 Telegram id, $2 credits, $3 purpose, $4 idempotency key
SELECT spend_credits($1, $2, $3, $4);
