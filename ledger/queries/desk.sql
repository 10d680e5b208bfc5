-- What operators decide. Each statement is one step of a transaction that holds the settling lock.

-- name: find_charge_key
-- $1 charge id
SELECT charge_key FROM charges WHERE charge_id = $1;

-- name: is_user_known
-- $1 Telegram id
SELECT exists(SELECT FROM users WHERE telegram_id = $1);

-- name: was_completed_by
-- $1 payment id or null, $2 charge key
SELECT coalesce(bmc_data ->> 'charge_key' = $2, false) FROM pending_payments WHERE payment_id = $1;

-- name: find_decider
-- Which operator made a charge what it is; nobody, where a rule or a refund came after what operators did.
-- $1 charge id
SELECT last.operator_id
  FROM charges
 CROSS JOIN LATERAL (
           SELECT operator_actions.operator_id, operator_actions.action
             FROM operator_actions
            WHERE operator_actions.charge_id = charges.charge_id
            ORDER BY operator_actions.action_id DESC
            LIMIT 1
       ) AS last
 WHERE charges.charge_id = $1 AND (charges.state = 'unmatched') = (last.action = 'undo_match');

-- name: is_ordered
-- Whether this press or message was obeyed before.
-- $1 request key or null
SELECT exists(SELECT FROM operator_actions WHERE request_key = $1);

-- name: keep_action
-- $1 operator, $2 action, $3 charge id, $4 credit id, $5 claim id, $6 event number, $7 Telegram id, $8 reason, $9 request key,
-- $10 now
INSERT INTO operator_actions (
    operator_id, action, charge_id, credit_id, claim_id, event_no, telegram_id, reason, request_key, created_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING action_id;

-- name: credit_charge_again!
-- The one credit of kind payment was taken back, and this gives it to the right user.
-- $1 charge id, $2 Telegram id, $3 credits, $4 cause
INSERT INTO credits (charge_id, kind, telegram_id, credits, cause)
VALUES ($1, 'adjustment', $2, $3, $4);

-- name: find_standing_credit
-- What a charge gave to its user and was not taken back.
-- $1 charge id
SELECT given.credit_id, given.telegram_id, given.credits
  FROM credits AS given
 WHERE given.charge_id = $1
   AND given.kind IN ('payment', 'adjustment')
   AND given.reverses IS NULL
   AND NOT EXISTS (SELECT FROM credits AS taken WHERE taken.reverses = given.credit_id)
 ORDER BY given.credit_id DESC
 LIMIT 1;

-- name: find_adjustment
-- An entry of an operator's own, and whether it was taken back.
-- $1 credit id
SELECT given.telegram_id, given.credits, exists(SELECT FROM credits AS taken WHERE taken.reverses = $1) AS is_reversed
  FROM credits AS given
 WHERE given.credit_id = $1
   AND given.kind = 'adjustment'
   AND given.charge_id IS NULL
   AND given.reverses IS NULL;

-- name: reverse_credit
-- Take an entry back; the second time there is no row.
-- $1 credit id, $2 cause
INSERT INTO credits (charge_id, kind, telegram_id, credits, cause, reverses)
SELECT charge_id, 'adjustment', telegram_id, -credits, $2, credit_id
  FROM credits
 WHERE credit_id = $1
ON CONFLICT (reverses) DO NOTHING
RETURNING credit_id;

-- name: adjust_balance
-- $1 Telegram id, $2 credits, $3 cause
INSERT INTO credits (telegram_id, kind, credits, cause)
VALUES ($1, 'adjustment', $2, $3)
RETURNING credit_id;

-- name: close_claims_of_charge
-- The user's open claim, where the charge may be the one it is about.
-- $1 Telegram id, $2 charge id, $3 operator, $4 now, $5 charges that may be the one by now
UPDATE claims
   SET status = 'confirmed', decided_at = $4, decided_by = $3, charge_id = $2
  FROM charges
 WHERE charges.charge_id = $2
   AND claims.telegram_id = $1
   AND claims.status = 'open'
   AND charges.paid_at <= claims.created_at
   AND (
       charges.charge_id = ANY(claims.candidates || $5::bigint [])
       OR (charges.amount, charges.currency) = (claims.amount, claims.currency)
   )
RETURNING claim_id;

-- name: decline_claim
-- $1 claim id, $2 operator, $3 now
UPDATE claims
   SET status = 'declined', decided_at = $3, decided_by = $2
 WHERE claim_id = $1 AND status = 'open'
RETURNING telegram_id;

-- name: find_claim_decision
-- $1 claim id
SELECT decided_by FROM claims WHERE claim_id = $1;

-- name: decide_event
-- Only what changed nothing, and of which nobody has decided anything else.
-- $1 event number, $2 since when it is wanted to be settled again, or NULL, $3 since when it is put aside, or NULL
UPDATE events
   SET settle_again_at = $2, put_aside_at = $3
 WHERE event_no = $1
   AND outcome IN ('failed', 'unreadable')
   AND body IS NOT NULL
   AND settle_again_at IS NULL
   AND put_aside_at IS NULL
RETURNING true;

-- name: find_decider_of_event
-- Who decided about an event last.
-- $1 event number
SELECT operator_id FROM operator_actions WHERE event_no = $1 ORDER BY action_id DESC LIMIT 1;
