-- Statements for the Mini App.

-- name: find_language
-- Find a user's language. Returns no row for an unknown or an erased user.
-- $1 Telegram id
SELECT language FROM users WHERE telegram_id = $1 AND erased_at IS NULL;

-- name: find_shown_payments
-- Find a user's open payments, and the payments that ended last, up to a maximum number. The payment that was requested last
-- comes first. The columns `paid_*` describe the matched charge that paid the payment, and are null if there is none. If several
-- charges paid the payment, the columns describe the charge that completed it. `paid_credits` is the sum of the user's ledger
-- entries for the charge, because a charge has several entries if its credits were taken back and given again. Without a matched
-- charge, `paid_credits` is 0 and not null.
-- $1 Telegram id, $2 maximum number of ended payments
WITH shown AS (
    (SELECT * FROM pending_payments WHERE telegram_id = $1 AND status = 'pending')
    UNION ALL
    (SELECT * FROM pending_payments WHERE telegram_id = $1 AND status <> 'pending' ORDER BY ended_at DESC NULLS LAST LIMIT $2)
)
SELECT shown.payment_id, shown.telegram_id, shown.amount, shown.currency, shown.status, shown.created_at,
       paid.amount AS paid_amount, paid.currency AS paid_currency, paid.matched_at AS paid_at,
       (
           SELECT coalesce(sum(credits.credits), 0)::bigint
             FROM credits
            WHERE credits.charge_id = paid.charge_id AND credits.telegram_id = $1
       ) AS paid_credits
  FROM shown
  LEFT JOIN LATERAL (
           SELECT charges.charge_id, charges.amount, charges.currency, charges.matched_at
             FROM charges
            WHERE (charges.payment_id = shown.payment_id OR charges.charge_key = shown.bmc_data ->> 'charge_key')
              AND charges.telegram_id = $1
              AND charges.state = 'matched'
            ORDER BY coalesce(charges.charge_key = shown.bmc_data ->> 'charge_key', false) DESC, charges.matched_at
            LIMIT 1
       ) AS paid ON true
 ORDER BY shown.created_at DESC, shown.payment_id ASC;

-- name: find_changes
-- Return a string for each user. The string changes when the data that the Mini App shows to the user changes. Callers compare
-- it with an earlier string to detect changes.
-- $1 Telegram ids
SELECT watched.telegram_id,
       concat_ws(
           ' ',
           (SELECT count(*) FROM credits WHERE credits.telegram_id = watched.telegram_id),
           (SELECT count(*) FROM pending_payments WHERE pending_payments.telegram_id = watched.telegram_id),
           (SELECT max(ended_at) FROM pending_payments WHERE pending_payments.telegram_id = watched.telegram_id),
           users.language
       ) AS mark
  FROM unnest($1::bigint []) AS watched (telegram_id)
  LEFT JOIN users ON users.telegram_id = watched.telegram_id AND users.erased_at IS NULL;
