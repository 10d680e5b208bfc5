-- Statements that find users to whom a waiting charge may belong. Operators see the users as suggestions.

-- name: suggest_open
-- Find users who had an open pending payment on the day (UTC) of the charge. Return the best payment of each user, sorted from
-- the best to the worst. A payment of the charge's amount is better than a payment of a different amount. If two payments are
-- equal in this respect, the payment that was created closer to the time of the charge is better.
-- $1 time of the charge, $2 amount, $3 currency, $4 maximum
WITH open_then AS (
    SELECT payments.payment_id, payments.telegram_id, payments.amount, payments.currency, payments.status, payments.created_at,
           (payments.amount, payments.currency) = ($2, $3) AS fits,
           abs(extract(EPOCH FROM payments.created_at - $1::timestamptz)) AS seconds_apart
      FROM pending_payments AS payments
      JOIN users USING (telegram_id)
     WHERE payments.created_at < date_trunc('day', $1::timestamptz, 'UTC') + interval '1 day'
       AND (
           payments.status = 'pending'
           OR coalesce(payments.ended_at, payments.completed_at) >= date_trunc('day', $1::timestamptz, 'UTC')
       )
       AND users.erased_at IS NULL
), best AS (
    SELECT DISTINCT ON (telegram_id) payment_id, telegram_id, amount, currency, status, created_at, fits, seconds_apart
      FROM open_then
     ORDER BY telegram_id ASC, fits DESC, seconds_apart ASC, payment_id ASC
)
SELECT payment_id, telegram_id, amount, currency, status, created_at
  FROM best
 ORDER BY fits DESC, seconds_apart ASC, telegram_id ASC
 LIMIT $4;

-- name: suggest_named
-- Find users to whom charges with the supporter $1 or with the payer's name $2 were matched. The user with the newest charge
-- comes first. Guesses are left out, because a guess may be wrong.
-- $1 supporter id or null, $2 name or null, $3 maximum
WITH named AS (
    SELECT charge_id FROM charges WHERE supporter_id = $1
     UNION
    SELECT charges.charge_id
      FROM supporters
      JOIN charges USING (supporter_id)
     WHERE as_searched(supporters.name) = as_searched($2)
     UNION
    SELECT charge_id FROM charges WHERE as_searched(payer_name) = as_searched($2)
)
SELECT charges.telegram_id
  FROM named
  JOIN charges USING (charge_id)
  JOIN users USING (telegram_id)
 WHERE charges.method <> 'amount_and_time' AND users.erased_at IS NULL
 GROUP BY charges.telegram_id
 ORDER BY max(charges.paid_at) DESC, charges.telegram_id ASC
 LIMIT $3;

-- name: suggest_claimants
-- Find users with an open claim. The day of payment in the claim must be at most $4 days before or after the day of the charge.
-- Claims of the charge's amount come first.
-- $1 time of the charge, $2 amount, $3 currency, $4 days, $5 maximum
SELECT telegram_id, amount, currency
  FROM claims
 WHERE status = 'open' AND abs(paid_on - ($1::timestamptz AT TIME ZONE 'UTC')::date) <= $4
 ORDER BY (amount, currency) = ($2, $3) DESC, abs(paid_on - ($1::timestamptz AT TIME ZONE 'UTC')::date), claim_id
 LIMIT $5;
