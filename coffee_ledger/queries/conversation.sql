-- Claims: what a user says of a payment that did not arrive.

-- name: find_claimable_charges
-- Charges of these days that wait, or were dismissed because of a remembered outsider. Only for ranking: the claimant is shown
-- nothing of them.
-- $1 from, $2 until, both days included, $3 when the claim was raised
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
-- Charges of these days and this sum that a rule gave to somebody else without their code: one may be the one that is missed.
-- $1 from, $2 until, both days included, $3 when the claim was raised, $4 amount, $5 currency, $6 who claims, $7 how many at most
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

-- name: find_open_claim
-- $1 Telegram id
SELECT claim_id, paid_on, amount, currency, name, created_at FROM claims WHERE telegram_id = $1 AND status = 'open';

-- name: find_arrival
-- The last payment that was credited to the user and stays so, refunds and what was taken back aside.
-- $1 Telegram id, $2 since
SELECT charges.amount, charges.currency, charges.matched_at,
       (SELECT coalesce(sum(entries.credits), 0)::bigint FROM credits AS entries WHERE entries.charge_id = charges.charge_id)
           AS credits
  FROM charges
 WHERE charges.telegram_id = $1 AND charges.state = 'matched' AND charges.matched_at > $2
 ORDER BY charges.matched_at DESC
 LIMIT 1;

-- name: count_claims
-- $1 Telegram id, $2 since
SELECT count(*) FROM claims WHERE telegram_id = $1 AND created_at > $2;

-- name: find_declines
-- When operators declined claims of this user, the oldest first.
-- $1 Telegram id, $2 since, or null for all
SELECT decided_at
  FROM claims
 WHERE telegram_id = $1 AND status = 'declined' AND ($2::timestamptz IS NULL OR decided_at > $2)
 ORDER BY decided_at;

-- name: raise_claim
-- One open claim a user: a second one gives no row.
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
