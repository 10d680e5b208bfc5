-- Fill a database with open and settled payments of 100,000 users. The session's setting `bench.rows` is the number of open payments,
-- and also the number of settled payments.
-- Triggers and foreign keys are off, because they would check two million rows one by one. The rows are valid without a check.
SET session_replication_role = replica;

INSERT INTO users (telegram_id) SELECT generate_series(1, 100000);

INSERT INTO supporters (supporter_id, name, email)
SELECT 20000000 + n, 'Supporter ' || n, 'supporter-' || n || '@example.org' FROM generate_series(1, 100000) AS n;

INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount, created_at)
SELECT payer || '_' || (1700000000 + n), payer, payer, (ARRAY[5, 10, 25, 50]) [1 + n % 4], now() - random() * interval '1 day'
  FROM (SELECT n, 1 + n % 100000 AS payer FROM generate_series(1, current_setting('bench.rows')::integer) AS n) AS opened;

INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount, status, created_at, completed_at, ended_at)
SELECT payer || '_' || (1500000000 + n), payer, payer, (ARRAY[5, 10, 25, 50]) [1 + n % 4], 'completed', paid_at - interval '5 minutes',
       paid_at, paid_at
  FROM (
           SELECT n, 1 + n % 100000 AS payer, now() - (n::float / current_setting('bench.rows')::integer) * interval '1 year' AS paid_at
             FROM generate_series(1, current_setting('bench.rows')::integer) AS n
       ) AS settled;

INSERT INTO charges (
    charge_id, charge_key, family, bmc_id, transaction_id, supporter_id, amount, currency, paid_at, recorded_at, matched_at, is_paid,
    state, method, payment_id, telegram_id
)
OVERRIDING SYSTEM VALUE
SELECT n, 'history:' || n, 'donation', (1000000000 + n)::text, 'pi_history_' || n, (20000000 + telegram_id)::text, amount, 'USD',
       completed_at, completed_at, completed_at, true, 'matched', 'code', payment_id, telegram_id
  FROM (
           SELECT *, split_part(payment_id, '_', 2)::bigint - 1500000000 AS n
             FROM pending_payments
            WHERE status = 'completed'
       ) AS paid;

-- The janitor blanks the bodies of events after 90 days, so older events have no body here either.
INSERT INTO events (delivery_key, type, live_mode, attempt, body, blanked_at, outcome, charge_key, received_at, verified_by, supporter_id)
SELECT 'history:' || charge_id, 'donation.created', true, 1,
       CASE WHEN paid_at > now() - interval '90 days' THEN convert_to(repeat(md5(charge_key), 24), 'UTF8') END,
       CASE WHEN paid_at <= now() - interval '90 days' THEN paid_at + interval '90 days' END,
       'credited', charge_key, paid_at, 1, supporter_id
  FROM charges;

INSERT INTO credits (telegram_id, kind, credits, charge_id, created_at)
SELECT telegram_id, 'payment', (amount * 100)::bigint, charge_id, paid_at FROM charges;

INSERT INTO balances (telegram_id, balance) SELECT telegram_id, sum(credits) FROM credits GROUP BY telegram_id;

INSERT INTO notifications (telegram_id, kind, facts, fact_key, status, created_at, due_at, attempts, sent_at, message_id)
SELECT telegram_id, 'payment_credited', jsonb_build_object('credits', amount * 100, 'charge_key', charge_key), 'credited:' || charge_key,
       'sent', paid_at, paid_at, 1, paid_at, charge_id
  FROM charges;

SELECT setval(pg_get_serial_sequence('charges', 'charge_id'), (SELECT max(charge_id) FROM charges));
SET session_replication_role = origin;

-- Count the new rows, because the triggers that count rows were off.
INSERT INTO counts (counted, kind, method, currency, number, amount)
SELECT counted, kind, method, currency, number, amount FROM missing_counts;
