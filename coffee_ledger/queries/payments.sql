-- Users, their pending payments, and what they have.

-- name: meet_user
-- Know a user, or know better. Answers with their language, and whether they came back: to a chat in which they could not be reached,
-- or after they had asked to be forgotten. The latter are known again only by something that they do, as a page left open asks by itself.
-- $1 Telegram id, $2 the language that Telegram tells, $3 username or null, $4 whether the user did something, $5 whether they wrote in
-- the chat, which proves that they can be reached
WITH before AS (
    SELECT language, unreachable_at, erased_at FROM users WHERE telegram_id = $1
), met AS (
    INSERT INTO users AS known (telegram_id, language, username)
    VALUES ($1, $2, $3)
    ON CONFLICT (telegram_id) DO UPDATE
    SET language = CASE WHEN known.language_chosen THEN known.language ELSE excluded.language END,
        username = excluded.username,
        unreachable_at = CASE WHEN $5 OR known.erased_at IS NOT NULL THEN NULL ELSE known.unreachable_at END,
        erased_at = NULL
    WHERE ($4 OR known.erased_at IS NULL)
      AND (
          (known.username, known.erased_at) IS DISTINCT FROM (excluded.username, NULL)
          OR ($5 AND known.unreachable_at IS NOT NULL)
          OR (known.language <> excluded.language AND NOT known.language_chosen)
      )
    RETURNING language
)
SELECT coalesce(
           (SELECT met.language FROM met),
           (SELECT before.language FROM before WHERE before.erased_at IS NULL),
           $2
       ) AS language,
       EXISTS (SELECT FROM met) AND EXISTS (SELECT FROM before WHERE before.erased_at IS NOT NULL) AS was_erased,
       -- A user without a row is new, or an operator who was written to before they pressed Start.
       $5 AND EXISTS (SELECT FROM met) AND NOT EXISTS (SELECT FROM before WHERE before.unreachable_at IS NULL) AS is_back;

-- name: choose_language!
-- $1 Telegram id, $2 language, $3 whether it stays so whatever Telegram says
UPDATE users SET language = $2, language_chosen = $3 WHERE telegram_id = $1;

-- name: erase_user
-- $1 Telegram id
SELECT erase_user($1);

-- name: mark_unreachable!
-- $1 Telegram id, $2 now
UPDATE users SET unreachable_at = $2 WHERE telegram_id = $1 AND unreachable_at IS NULL;

-- name: mark_reachable
-- No row: they could be reached before, or have asked to be forgotten.
-- $1 Telegram id
UPDATE users SET unreachable_at = NULL WHERE telegram_id = $1 AND unreachable_at IS NOT NULL AND erased_at IS NULL
RETURNING telegram_id;

-- name: lock_opening!
-- Pending payments are opened one at a time, until the end of the transaction: a new code looks at all that went before.
LOCK TABLE opening_turn IN EXCLUSIVE MODE;

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

-- name: request_again
-- The user asked for the same amount again. A payment that was completed in this moment stays as it is.
-- $1 payment id, $2 now, $3 how many times are kept, the newest
UPDATE pending_payments
   SET requested_again_at = (requested_again_at || $2::timestamptz)[greatest(1, cardinality(requested_again_at) + 2 - $3::integer):]
 WHERE payment_id = $1 AND status = 'pending'
RETURNING payment_id, telegram_id, amount, currency, status, created_at, requested_again_at;

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
-- $1 Telegram id, $2 credits, $3 what they are spent on, $4 a key that names this spending
SELECT spend_credits($1, $2, $3, $4);
