-- Statements for claims. In a claim, a user describes a payment that was not credited.

-- name: find_claimable_charges
-- Find charges that are unmatched or were dismissed automatically. They were paid from day $1 to day $2, but not after $3. One
-- of these charges may be the claimed payment. The caller ranks the charges for operators. The user never sees the charges.
-- $1 first day, $2 last day, $3 when the claim was raised
SELECT charges.charge_id, charges.amount, charges.currency, charges.paid_at,
       coalesce(supporters.name, charges.payer_name) AS supporter_name
  FROM charges
  LEFT JOIN supporters USING (supporter_id)
 WHERE (charges.state = 'unmatched' OR charges.dismissed_by IS NOT NULL)
   AND charges.is_paid
   AND charges.paid_at >= $1::date
   AND charges.paid_at < $2::date + 1
   AND charges.paid_at <= $3
 ORDER BY charges.charge_id;

-- name: find_guessed_charges
-- Find charges with the claimed amount that were paid from day $1 to day $2, but not after $3. Each was matched by weak
-- evidence to a user other than the claimant. Weak evidence is a corrected code, a known supporter, or amount and time. So the
-- match may be wrong, and the charge may belong to the claimant.
-- $1 first day, $2 last day, $3 when the claim was raised, $4 amount, $5 currency, $6 claimant, $7 maximum
SELECT charge_id
  FROM charges
 WHERE state = 'matched'
   AND method IN ('corrected_code', 'known_supporter', 'amount_and_time')
   AND telegram_id <> $6
   AND amount = $4
   AND currency = $5
   AND paid_at >= $1::date
   AND paid_at < $2::date + 1
   AND paid_at <= $3
 ORDER BY paid_at DESC
 LIMIT $7;

-- name: find_dismissed_charges
-- Find charges that an operator dismissed. They have the claimed amount and were paid from day $1 to day $2, but not after $3.
-- One tap can dismiss many charges, so an operator may have dismissed the claimed payment by mistake.
-- $1 first day, $2 last day, $3 when the claim was raised, $4 amount, $5 currency, $6 maximum
SELECT charge_id
  FROM charges
 WHERE state = 'dismissed'
   AND dismissed_by IS NULL
   AND is_paid
   AND amount = $4
   AND currency = $5
   AND paid_at >= $1::date
   AND paid_at < $2::date + 1
   AND paid_at <= $3
 ORDER BY paid_at DESC
 LIMIT $6;

-- name: find_open_claim
-- $1 Telegram id
SELECT claim_id, paid_on, amount, currency, name, created_at FROM claims WHERE telegram_id = $1 AND status = 'open';

-- name: find_arrival
-- Find the last charge that was credited to the user after $2. Leave out charges that were refunded, and charges whose match
-- was undone.
-- $1 Telegram id, $2 time
SELECT charges.amount, charges.currency, charges.matched_at,
       (SELECT coalesce(sum(entries.credits), 0)::bigint FROM credits AS entries WHERE entries.charge_id = charges.charge_id)
           AS credits
  FROM charges
 WHERE charges.telegram_id = $1 AND charges.state = 'matched' AND charges.matched_at > $2
 ORDER BY charges.matched_at DESC
 LIMIT 1;

-- name: count_claims
-- $1 Telegram id, $2 raised after this time
SELECT count(*) FROM claims WHERE telegram_id = $1 AND created_at > $2;

-- name: find_declines
-- Find the times at which operators declined claims of this user, the oldest first.
-- $1 Telegram id, $2 declined after this time, or null for all
SELECT decided_at
  FROM claims
 WHERE telegram_id = $1 AND status = 'declined' AND ($2::timestamptz IS NULL OR decided_at > $2)
 ORDER BY decided_at;

-- name: raise_claim
-- Insert a claim. If the user already has an open claim, insert nothing and return no row. The unique index
-- one_open_claim_per_user allows only one open claim for each user, even if two claims are inserted at the same time.
-- $1 Telegram id, $2 day, $3 amount, $4 currency, $5 name or null, $6 candidates, $7 now
INSERT INTO claims (telegram_id, paid_on, amount, currency, name, candidates, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (telegram_id) WHERE status = 'open' DO NOTHING
RETURNING claim_id;

-- name: withdraw_claim
-- $1 claim id, $2 Telegram id, $3 now
UPDATE claims
   SET status = 'withdrawn', decided_at = $3
 WHERE claim_id = $1 AND telegram_id = $2 AND status = 'open'
RETURNING claim_id;
