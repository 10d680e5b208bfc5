-- Statements for the decisions of operators. The transaction of each decision and of each settlement locks the table
-- settling_turn. So a decision and a settlement never change a charge at the same time.

-- name: find_charge_key
-- $1 charge id
SELECT charge_key FROM charges WHERE charge_id = $1;

-- name: is_user_known
-- $1 Telegram id
SELECT exists(SELECT FROM users WHERE telegram_id = $1);

-- name: was_completed_by
-- Return whether the pending payment was completed by this charge. Returns no row if the payment id is null or unknown.
-- $1 payment id or null, $2 charge key
SELECT coalesce(bmc_data ->> 'charge_key' = $2, false) FROM pending_payments WHERE payment_id = $1;

-- name: find_decider
-- Find the operator who made the last decision about a charge. Returns no row if no operator decided about the charge, or if a
-- rule or a user has changed the charge since the last decision. After the action 'undo_match', an unchanged charge is
-- 'unmatched'. After every other action of an operator, an unchanged charge is not 'unmatched'.
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

-- name: is_request_known
-- Return whether this request of an operator was already executed. A request is one press of a button or one message.
-- $1 request key or null
SELECT exists(SELECT FROM operator_actions WHERE request_key = $1);

-- name: record_action
-- $1 operator, $2 action, $3 charge id, $4 claim id, $5 event number, $6 outsider id, $7 Telegram id, $8 reason, $9 request key,
-- $10 now
-- The NOTIFY wakes the bot, so that it updates the number of open decisions in the operators' summaries.
WITH kept AS (
    INSERT INTO operator_actions (
        operator_id, action, charge_id, claim_id, event_no, outsider_id, telegram_id, reason, request_key, created_at
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    RETURNING action_id
)
SELECT kept.action_id FROM kept CROSS JOIN pg_notify('payments', '');

-- name: credit_charge_again
-- Credit a charge again after its credit was reversed. The column `follows` refers to the newest reversal. The unique index
-- credited_once allows only one new credit for each reversal.
-- $1 charge id, $2 Telegram id, $3 credits, $4 action id, $5 now
INSERT INTO credits (charge_id, kind, telegram_id, credits, action_id, created_at, follows)
SELECT $1, 'payment', $2, $3, $4, $5, max(taken.credit_id)
  FROM credits AS taken
  JOIN credits AS given ON given.credit_id = taken.reverses
 WHERE taken.charge_id = $1 AND taken.kind = 'reversal' AND given.kind = 'payment';

-- name: reverse_charge
-- Take back the credits of a charge that are left after refunds. $3 is null if the user rejected the charge with the button
-- "Not mine".
-- $1 charge id, $2 cause, $3 action id or null, $4 now
INSERT INTO credits (charge_id, kind, telegram_id, credits, cause, reverses, action_id, is_not_mine, created_at)
SELECT charge_id, 'reversal', telegram_id, -credits_left(credit_id), $2, credit_id, $3, $3::bigint IS NULL, $4
  FROM standing_credits
 WHERE charge_id = $1
RETURNING credits;

-- name: reverse_refunds
-- Reverse the refunds of a charge. Returns the number of credits that the user gets back, or null if there is no refund to
-- reverse.
-- $1 charge id, $2 cause, $3 action id, $4 now
WITH given_back AS (
    INSERT INTO credits (charge_id, kind, telegram_id, credits, cause, reverses, action_id, created_at)
    SELECT taken.charge_id, 'reversal', taken.telegram_id, -taken.credits, $2, taken.credit_id, $3, $4
      FROM charges
      -- If the match of the charge was wrong, its credit was reversed. The user must then get no credits when the refund is
      -- reversed. The view standing_credits contains no reversed credit, so this join leaves such a refund out.
      JOIN standing_credits AS given ON given.charge_id = charges.charge_id
      JOIN credits AS taken ON taken.reverses = given.credit_id AND taken.kind = 'refund'
     WHERE charges.charge_id = $1
       AND charges.state = 'refunded'
       AND NOT EXISTS (SELECT FROM credits AS back WHERE back.reverses = taken.credit_id)
    RETURNING credits
)
SELECT sum(credits)::bigint FROM given_back;

-- name: find_credits_refunded
-- Return the number of credits that the user would get back if the refunds of a charge were reversed (reverse_refunds), or null
-- if there is no refund to reverse.
-- $1 charge id
SELECT -sum(taken.credits)::bigint
  FROM charges
  JOIN standing_credits AS given ON given.charge_id = charges.charge_id
  JOIN credits AS taken ON taken.reverses = given.credit_id AND taken.kind = 'refund'
 WHERE charges.charge_id = $1
   AND charges.state = 'refunded'
   AND NOT EXISTS (SELECT FROM credits AS back WHERE back.reverses = taken.credit_id);

-- name: find_credits_left
-- Return the number of credits of a charge that are left after refunds. Returns no row if the charge has no credit, or its credit
-- was reversed.
-- $1 charge id
SELECT credits_left(credit_id) FROM standing_credits WHERE charge_id = $1;

-- name: refund_credits
-- Take back some of the credits of a charge, because a part of the payment was refunded.
-- $1 charge id, $2 credits, $3 action id, $4 cause, $5 now
INSERT INTO credits (charge_id, kind, telegram_id, credits, reverses, action_id, cause, created_at)
SELECT charge_id, 'refund', telegram_id, -$2::bigint, credit_id, $3, $4, $5
  FROM standing_credits
 WHERE charge_id = $1;

-- name: find_standing_guess
-- Return the time of the guess that matched a charge to this user. Returns no row if the guess was taken back, or if the charge
-- is no longer matched by a guess.
-- $1 charge id, $2 Telegram id
SELECT guesses.guessed_at
  FROM guesses
  JOIN charges USING (charge_id)
 WHERE guesses.charge_id = $1
   AND guesses.telegram_id = $2
   AND guesses.taken_back_at IS NULL
   AND charges.state = 'matched'
   AND charges.method = 'amount_and_time';

-- name: take_back_guess
-- Record that the guess about a charge was taken back.
-- $1 charge id, $2 now
UPDATE guesses SET taken_back_at = $2 WHERE charge_id = $1 AND taken_back_at IS NULL;

-- name: find_outsider
-- Find the id of the mark that makes a supporter, subscription or item an outsider. The payments of an outsider do not come
-- from our users. Returns no row if there is no mark, or if the mark has ended.
-- $1 kind, $2 name
SELECT outsider_id FROM outsiders WHERE kind = $1 AND name = $2 AND ended_at IS NULL;

-- name: remember_outsider
-- Mark a supporter, subscription or item as an outsider, because its payments do not come from our users.
-- $1 kind, $2 name, $3 now
INSERT INTO outsiders (kind, name, remembered_at) VALUES ($1, $2, $3) RETURNING outsider_id;

-- name: find_charges_alike
-- Find unmatched charges that have the same supporter, subscription or item as the given charge, the newest first. A search by
-- subscription also finds charges with the same family and BMC number. They may belong to other subscriptions, which have a
-- different `psp_id`. So the caller filters the result with `Charge.outsider_names` in coffee_ledger/charges.py.
-- $1 charge id, $2 supporter, subscription or item, $3 maximum
SELECT alike.charge_key
  FROM charges
  JOIN charges AS alike
    ON alike.state = 'unmatched'
   AND alike.is_paid
   AND CASE $2::text
           WHEN 'supporter' THEN alike.supporter_id = charges.supporter_id
           WHEN 'subscription' THEN alike.psp_id = charges.psp_id OR (alike.family, alike.bmc_id) = (charges.family, charges.bmc_id)
           ELSE alike.item = charges.item
       END
 WHERE charges.charge_id = $1
 ORDER BY alike.charge_id DESC
 LIMIT $3;

-- name: find_outsider_of_dismissal
-- An operator who dismisses a charge can also mark its supporter, subscription or item as an outsider. Return the id of the
-- outsider that was marked with the last dismissal of the charge, or null if no outsider was marked. Returns no row if no
-- operator dismissed the charge.
-- $1 charge id
SELECT outsider_id
  FROM operator_actions
 WHERE charge_id = $1 AND action = 'dismiss'
 ORDER BY action_id DESC
 LIMIT 1;

-- name: take_offer
-- Record that an operator took an offer, which is a button that dismisses a set of charges. Returns no row if the offer was
-- taken before or does not exist.
-- $1 offer id, $2 now
UPDATE dismissal_offers SET taken_at = $2 WHERE offer_id = $1 AND taken_at IS NULL RETURNING charge_ids;

-- name: find_offer
-- $1 offer id
SELECT charge_ids, taken_at FROM dismissal_offers WHERE offer_id = $1;

-- name: find_actions_by_key
-- Find the actions of operators that have these request keys. The column `is_last` is true if no later action was about the
-- same charge.
-- $1 request keys
SELECT done.operator_id, done.charge_id,
       NOT EXISTS (
           SELECT FROM operator_actions AS later WHERE later.charge_id = done.charge_id AND later.action_id > done.action_id
       ) AS is_last
  FROM operator_actions AS done
 WHERE done.request_key = ANY($1::text [])
 ORDER BY done.action_id;

-- name: find_adjustment
-- Find an adjustment, which is a change of a balance by an operator, and return whether the adjustment was reversed.
-- $1 credit id
SELECT given.telegram_id, given.credits, exists(SELECT FROM credits AS taken WHERE taken.reverses = $1) AS is_reversed
  FROM credits AS given
 WHERE given.credit_id = $1
   AND given.kind = 'adjustment';

-- name: reverse_adjustment
-- Reverse an operator's adjustment of a balance.
-- $1 credit id, $2 cause, $3 action id, $4 now
INSERT INTO credits (kind, telegram_id, credits, cause, reverses, action_id, created_at)
SELECT 'reversal', telegram_id, -credits_left(credit_id), $2, credit_id, $3, $4
  FROM credits
 WHERE credit_id = $1;

-- name: adjust_balance
-- Change a balance by an operator's decision. Negative credits lower the balance.
-- $1 Telegram id, $2 credits, $3 cause, $4 action id, $5 now
INSERT INTO credits (telegram_id, kind, credits, cause, action_id, created_at)
VALUES ($1, 'adjustment', $2, $3, $4, $5);

-- name: close_claims_of_charge
-- Confirm the user's open claim if this charge may be the claimed payment. The charge must have been paid before the claim was
-- raised. The charge must also be a candidate of the claim, or have the amount of the claim.
-- $1 Telegram id, $2 charge id, $3 operator, $4 now, $5 ids of the candidates found now, in addition to those stored with the claim
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
-- Return the operator who decided about a claim, or null if no operator did. Returns no row if the claim does not exist.
-- $1 claim id
SELECT decided_by FROM claims WHERE claim_id = $1;

-- name: decide_event
-- Record an operator's decision about an event that failed or could not be read. Returns no row if the
-- event was dismissed, if it waits for a retry, or if it needs no decision.
-- $1 event number, $2 time of the request to retry, or null, $3 time of the dismissal, or null
UPDATE events
   SET retry_requested_at = $2, dismissed_at = $3
 WHERE event_no = $1
   AND outcome IN ('failed', 'unreadable')
   AND body IS NOT NULL
   AND retry_requested_at IS NULL
   AND dismissed_at IS NULL
RETURNING true;

-- name: find_decider_of_event
-- Find the operator who last decided about an event. Returns no row if no operator did.
-- $1 event number
SELECT operator_id FROM operator_actions WHERE event_no = $1 ORDER BY action_id DESC LIMIT 1;
