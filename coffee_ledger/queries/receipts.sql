-- Statements about the bot's messages that show how to pay a pending payment. A message is stored until its payment has ended and
-- the bot has rewritten the message.

-- name: remember_payment_message
-- $1 payment id, $2 message id
INSERT INTO payment_messages (payment_id, message_id) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: announce_end
-- Wake the bots if the payment has ended, so that they rewrite its messages.
-- $1 payment id
SELECT pg_notify('payments', '') FROM pending_payments WHERE payment_id = $1 AND status <> 'pending';

-- name: find_receipts
-- Return the messages of payments that have ended. The payment that ended first comes first. Each row contains the credits of the
-- charge that completed the payment, or null if the payment was not credited.
-- $1 maximum
SELECT shown.payment_id, shown.message_id, payments.telegram_id, payments.status, payments.amount, payments.currency, users.language,
       charges.amount AS paid_amount, charges.currency AS paid_currency, paid.credits
  FROM payment_messages AS shown
  JOIN pending_payments AS payments USING (payment_id)
  JOIN users ON users.telegram_id = payments.telegram_id
  LEFT JOIN charges ON charges.charge_key = payments.bmc_data ->> 'charge_key'
  LEFT JOIN LATERAL (
      SELECT credits
        FROM credits
       WHERE credits.charge_id = charges.charge_id AND credits.kind = 'payment' AND credits.telegram_id = payments.telegram_id
       ORDER BY credit_id
       LIMIT 1
  ) AS paid ON true
 WHERE payments.status <> 'pending'
 ORDER BY payments.ended_at, shown.message_id
 LIMIT $1;

-- name: forget_payment_message
-- $1 payment id, $2 message id
DELETE FROM payment_messages WHERE payment_id = $1 AND message_id = $2;
