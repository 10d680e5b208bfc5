-- What the Mini App shows.

-- name: find_language
-- $1 Telegram id
SELECT language FROM users WHERE telegram_id = $1;

-- name: find_shown_payments
-- A user's open payments and the last that ended, the newest first, each with what was paid for it.
-- $1 Telegram id, $2 how many ended ones at most
WITH shown AS (
    (SELECT * FROM pending_payments WHERE telegram_id = $1 AND status = 'pending')
    UNION ALL
    (SELECT * FROM pending_payments WHERE telegram_id = $1 AND status <> 'pending' ORDER BY ended_at DESC NULLS LAST LIMIT $2)
)
SELECT shown.payment_id, shown.telegram_id, shown.amount, shown.currency, shown.status, shown.created_at,
       charges.amount AS paid_amount, charges.currency AS paid_currency, charges.matched_at AS paid_at, credits.credits AS paid_credits
  FROM shown
  LEFT JOIN charges ON charges.charge_key = shown.bmc_data ->> 'charge_key' AND charges.telegram_id = $1
  LEFT JOIN credits ON credits.charge_id = charges.charge_id AND credits.kind = 'payment' AND credits.telegram_id = $1
 ORDER BY shown.created_at DESC, shown.payment_id ASC;

-- name: find_changes
-- For each of these users a mark that is another one as soon as what they see is another.
-- $1 Telegram ids
SELECT watched.telegram_id,
       concat_ws(
           ' ',
           (SELECT max(credit_id) FROM credits WHERE credits.telegram_id = watched.telegram_id),
           (SELECT count(*) FROM pending_payments WHERE pending_payments.telegram_id = watched.telegram_id),
           (SELECT max(ended_at) FROM pending_payments WHERE pending_payments.telegram_id = watched.telegram_id),
           users.language
       ) AS mark
  FROM unnest($1::bigint []) AS watched (telegram_id)
  LEFT JOIN users ON users.telegram_id = watched.telegram_id;
