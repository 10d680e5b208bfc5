-- Statements of a settlement, which is one transaction. They load the input for coffee_ledger/settling.py and store its result.

-- name: ping
SELECT true;

-- name: find_schema_version
SELECT schema_version(), oldest_service();

-- name: load_types
-- Each new connection prepares this statement, but never runs it. Preparing it makes asyncpg look up these types in Postgres.
-- Otherwise asyncpg would look up the types later, in transactions that hold a lock.
SELECT $1::boolean [], $2::bytea [], $3::smallint [], $4::integer [], $5::bigint [], $6::numeric [], $7::text [],
       $8::varchar [], $9::interval [], $10::date [], $11::timestamptz [], $12::jsonb [], NULL::charges [], array(SELECT row(1));

-- name: lock_settling
-- Let only one settlement run at a time. The lock is held until the end of the transaction. The match of a charge depends on
-- other charges and on pending payments. Without the lock, a second settlement could change these rows while the first one
-- decides.
-- The lock costs little, because Postgres commits transactions that contain a NOTIFY one after the other anyway.
SELECT take_settling_turn();

-- name: load_known
-- Find the stored data about the events of a batch.
-- delivered: the delivery keys of the events that are stored already.
-- erased_supporters: the supporters whose charges were matched to an erased user. An erased user who writes to the bot later no
-- longer counts as erased.
-- charges: the charges that the events may be about. Each part of the UNION finds charges in its own way. The last three parts
-- are needed because BMC may report one payment twice with different ids. These parts find charges that were paid at about the
-- same time as the charge of the event. The part by_supporter finds charges that have the same supporter as the charge of the
-- event, but a different family. The two parts by_note find charges that have the same note, if the found charge or the charge
-- of the event is from BMC's list.
-- Use UNION, because each part then uses its own index. With OR between the conditions, Postgres would scan the whole table.
-- OFFSET 0 makes Postgres look the charges up for each event of the batch. Without OFFSET 0 and with a small or empty table,
-- Postgres may choose a plan that compares each event with each charge. Postgres would keep this plan after the table has grown.
-- The rows are sorted by a column of the index that finds them. If the rows were sorted by charge_id, Postgres could make a
-- plan that reads the whole primary key while the table is empty, and keep the plan. Only the few charges found are sorted by
-- charge_id, because the book looks for the charge that was stored first.
-- In by_supporter, the condition on paid_at is written so that Postgres cannot use an index on paid_at. Otherwise Postgres may
-- choose this index while the table is small, and keep the plan after the table has grown.
-- $1 delivery keys, $2 supporter ids of all events
-- $3 charge keys, $4 transaction ids
-- $5 families, $6 bmc ids, $7 starts of billing periods or nulls: arrays of equal length
-- $8 psp ids, $9 starts of billing periods: arrays of equal length; $10 maximum difference between two starts of the same period
-- $11 supporter ids, $12 families, $13 times of payment: arrays of equal length; $14 maximum difference from these times
-- $15 notes, $16 times of payment, $17 whether the charge is from BMC's list: arrays of equal length; $18 maximum difference from these
-- times
SELECT array(
           SELECT events.delivery_key FROM events WHERE events.delivery_key = ANY($1::text [])
       ) AS delivered,
       array(
           SELECT DISTINCT paid.supporter_id
             FROM charges AS paid
             JOIN users ON users.telegram_id = paid.telegram_id AND users.erased_at IS NOT NULL
            WHERE paid.supporter_id = ANY($2::text [])
       ) AS erased_supporters,
       array(
           SELECT stored.charge
             FROM (
                      SELECT by_key.charge_id
                        FROM unnest($3::text []) AS named (charge_key)
                       CROSS JOIN LATERAL (
                                 SELECT charge_id FROM charges WHERE charges.charge_key = named.charge_key ORDER BY charge_key OFFSET 0
                             ) AS by_key
                       UNION
                      SELECT by_transaction.charge_id
                        FROM unnest($4::text []) AS named (transaction_id)
                       CROSS JOIN LATERAL (
                                 SELECT charge_id
                                   FROM charges
                                  WHERE charges.source = 'bmc'
                                    AND charges.transaction_id = named.transaction_id
                                    AND charges.conflicts_with IS NULL
                                  ORDER BY transaction_id
                                 OFFSET 0
                             ) AS by_transaction
                       UNION
                      SELECT by_number.charge_id
                        FROM unnest($5::text [], $6::text [], $7::timestamptz []) AS named (family, bmc_id, period_start)
                       CROSS JOIN LATERAL (
                                 SELECT charge_id
                                   FROM charges
                                  WHERE charges.family = named.family
                                    AND charges.bmc_id = named.bmc_id
                                    AND CASE
                                            WHEN named.period_start IS NULL THEN charges.period_start IS NULL
                                            ELSE charges.period_start
                                                 BETWEEN named.period_start - $10::interval AND named.period_start + $10::interval
                                        END
                                  ORDER BY bmc_id
                                 OFFSET 0
                             ) AS by_number
                       UNION
                      SELECT by_period.charge_id
                        FROM unnest($8::text [], $9::timestamptz []) AS named (psp_id, period_start)
                       CROSS JOIN LATERAL (
                                 SELECT charge_id
                                   FROM charges
                                  WHERE charges.psp_id = named.psp_id
                                    AND charges.period_start
                                        BETWEEN named.period_start - $10::interval AND named.period_start + $10::interval
                                  ORDER BY period_start
                                 OFFSET 0
                             ) AS by_period
                       UNION
                      SELECT by_supporter.charge_id
                        FROM unnest($11::text [], $12::text [], $13::timestamptz []) AS paid (supporter_id, family, paid_at)
                       CROSS JOIN LATERAL (
                                 SELECT charge_id
                                   FROM charges
                                  WHERE charges.supporter_id = paid.supporter_id
                                    AND charges.family <> paid.family
                                    AND paid.paid_at BETWEEN charges.paid_at - $14::interval AND charges.paid_at + $14::interval
                                  ORDER BY supporter_id
                                 OFFSET 0
                             ) AS by_supporter
                       UNION
                      SELECT by_note.charge_id
                        FROM unnest($15::text [], $16::timestamptz []) AS written (note, paid_at)
                       CROSS JOIN LATERAL (
                                 SELECT charge_id
                                   FROM charges
                                  WHERE charges.channel = 'api'
                                    AND charges.note = written.note
                                    AND charges.paid_at BETWEEN written.paid_at - $18::interval AND written.paid_at + $18::interval
                                  ORDER BY paid_at
                                 OFFSET 0
                             ) AS by_note
                       UNION
                      SELECT by_note.charge_id
                        FROM unnest($15::text [], $16::timestamptz [], $17::boolean []) AS written (note, paid_at, is_listed)
                       CROSS JOIN LATERAL (
                                 SELECT charge_id
                                   FROM charges
                                  WHERE charges.note = written.note
                                    AND charges.paid_at BETWEEN written.paid_at - $18::interval AND written.paid_at + $18::interval
                                  ORDER BY paid_at
                                 OFFSET 0
                             ) AS by_note
                       WHERE written.is_listed
                  ) AS found
            CROSS JOIN LATERAL (
                      SELECT charges AS charge FROM charges WHERE charges.charge_id = found.charge_id ORDER BY charge_id OFFSET 0
                  ) AS stored
            ORDER BY found.charge_id
       ) AS charges;

-- name: load_candidates
-- Find the users and the pending payments that charges may belong to. One statement loads all rows, because a settlement would
-- have to wait for the answer to each further statement.
--
-- waiting: unmatched charges that have one of the amounts $1 and were paid at about the time given in $3 for this amount. While
-- one of these charges is unmatched, no other charge of the same amount and about the same time is matched by a guess.
-- supporters: users to whom charges of the supporters $8 were matched by a code. Other matches do not prove for which user a
-- supporter pays.
-- subscribers: for each subscription, the users to whom its charges were matched. The last field is true if a match to the user
-- was undone and no charge of the subscription was matched to the user after that. Guesses that were not taken back are left
-- out. A charge belongs to a subscription if both have the same psp id (the id at the payment provider). If the charge or the
-- subscription has no psp id, both must have the same family and bmc id.
-- outsiders: the supporters, subscriptions and items in $13 and $14 that are marked as outsiders, because their payments do not
-- come from our users.
-- mentioned: users with these usernames or Telegram ids. The name is null if the user was found by the id.
-- payments: pending payments that a charge may pay. They are the payments with the codes $18, the open payments of the users in
-- `supporters`, and the payments of the charge's amount that are open now or ended after the charge was paid. Of the payments of
-- one amount, only the $7 oldest open ones are read, and for each charge the $7 oldest ended ones. More are not needed: $7 is
-- greater than the number of payments that a user can have open at the same time, so $7 payments belong to several users, and then
-- no charge is matched by a guess. The open payments are read once for each amount, because the oldest ones are the same for all
-- charges of the amount.
-- guesses: for each owner of these payments, the times of the last guess and of the last guess that was taken back.
-- erased: the users who asked to be erased. Only the users in `supporters`, `subscribers` and $17, and the owners of the
-- payments are looked up.
--
-- OFFSET 0 makes Postgres look up the rows of each subscription and each payer separately. The comment of load_known gives the
-- reason. The condition on the status of a payer's payments is written so that Postgres cannot use an index of the open payments:
-- it would read all open payments for each payer.
--
-- The payments are sorted by an expression with created_at, so that Postgres uses an index that begins with the amount. If they were
-- sorted by the column created_at, Postgres would often read the index of created_at from the oldest payment on, once for each charge.
--
-- $1 to $4 describe the charges without a code, in arrays of equal length: $1 amounts, $2 currencies, $3 times of payment, $4 latest
-- times at which a pending payment for the charge may have been opened
-- $5 maximum difference from the times in $3, or null to find no waiting charges
-- $6 maximum number of waiting charges, $7 maximum number of payments, for each amount
-- $8 supporter ids
-- $9 keys of subscriptions (Charge.subscription), $10 their psp ids or nulls, $11 families, $12 bmc ids: arrays of equal length
-- $13 kinds of possible outsiders, $14 their supporter ids, subscription keys or items: arrays of equal length
-- $15 usernames in lower case, $16 Telegram ids
-- $17 users to whom the charges that load_known found are matched, $18 codes
WITH supported AS MATERIALIZED (
    SELECT DISTINCT charges.supporter_id, charges.telegram_id
      FROM charges
     WHERE charges.supporter_id = ANY($8::text [])
       AND charges.telegram_id IS NOT NULL
       AND charges.method = 'code'
),

of_subscriptions AS (
    SELECT named.name, found.charge_id, found.telegram_id, found.method, found.matched_at
      FROM unnest($9::text [], $10::text []) AS named (name, psp_id)
     CROSS JOIN LATERAL (
               SELECT charge_id, telegram_id, method, matched_at
                 FROM charges
                WHERE charges.psp_id = named.psp_id
                ORDER BY psp_id
               OFFSET 0
           ) AS found
     UNION
    SELECT named.name, found.charge_id, found.telegram_id, found.method, found.matched_at
      FROM unnest($9::text [], $10::text [], $11::text [], $12::text []) AS named (name, psp_id, family, bmc_id)
     CROSS JOIN LATERAL (
               SELECT charge_id, telegram_id, method, matched_at
                 FROM charges
                WHERE charges.family = named.family
                  AND charges.bmc_id = named.bmc_id
                  AND (charges.psp_id IS NULL OR named.psp_id IS NULL)
                ORDER BY bmc_id
               OFFSET 0
           ) AS found
),

happened AS (
    SELECT name, telegram_id, matched_at AS at, false AS is_undone
      FROM of_subscriptions
     WHERE telegram_id IS NOT NULL AND method <> 'amount_and_time'
     UNION ALL
    SELECT of_subscriptions.name, reversals.telegram_id, reversals.created_at AS at, true AS is_undone
      FROM of_subscriptions
     CROSS JOIN LATERAL (
               SELECT taken.telegram_id, taken.created_at
                 FROM credits AS taken
                WHERE taken.charge_id = of_subscriptions.charge_id
                  AND taken.kind = 'reversal'
                  AND (SELECT given.kind FROM credits AS given WHERE given.credit_id = taken.reverses) = 'payment'
                ORDER BY taken.charge_id
               OFFSET 0
           ) AS reversals
),

subscribed AS MATERIALIZED (
    SELECT DISTINCT ON (name, telegram_id) name, telegram_id, is_undone
      FROM happened
     ORDER BY name ASC, telegram_id ASC, at DESC, is_undone DESC
),

paid AS (
    SELECT * FROM unnest($1::numeric [], $2::text [], $3::timestamptz [], $4::timestamptz []) AS paid (amount, currency, at, until)
),

candidates AS MATERIALIZED (
    SELECT coded.* FROM pending_payments AS coded WHERE coded.payment_id = ANY($18::text [])
     UNION
    SELECT theirs.*
      FROM (SELECT DISTINCT telegram_id FROM supported) AS payers
     CROSS JOIN LATERAL (
               SELECT open.*
                 FROM pending_payments AS open
                WHERE open.telegram_id = payers.telegram_id
                  AND open.status || '' = 'pending'
                ORDER BY open.telegram_id
               OFFSET 0
           ) AS theirs
     UNION
    SELECT open_rivals.*
      FROM (SELECT amount, currency, max(until) AS until FROM paid GROUP BY amount, currency) AS asked
     CROSS JOIN LATERAL (
               SELECT open.*
                 FROM pending_payments AS open
                WHERE open.status = 'pending'
                  AND open.amount = asked.amount
                  AND open.currency = asked.currency
                  AND open.created_at AT TIME ZONE 'UTC' <= asked.until AT TIME ZONE 'UTC'
                ORDER BY open.created_at AT TIME ZONE 'UTC'
                LIMIT $7
           ) AS open_rivals
     UNION
    SELECT ended_rivals.*
      FROM paid
     CROSS JOIN LATERAL (
               SELECT ended.*
                 FROM pending_payments AS ended
                WHERE ended.status <> 'pending'
                  AND ended.amount = paid.amount
                  AND ended.currency = paid.currency
                  AND ended.ended_at > paid.at
                  AND ended.created_at <= paid.until
                ORDER BY ended.created_at AT TIME ZONE 'UTC'
                LIMIT $7
           ) AS ended_rivals
),

owners AS MATERIALIZED (SELECT DISTINCT telegram_id FROM candidates)

SELECT array(
           SELECT DISTINCT row(alike.charge_key, alike.amount, alike.currency, alike.paid_at)
             FROM paid
            CROSS JOIN LATERAL (
                      SELECT waits.charge_key, waits.amount, waits.currency, waits.paid_at
                        FROM charges AS waits
                       WHERE waits.state = 'unmatched'
                         AND waits.amount = paid.amount
                         AND waits.currency = paid.currency
                         AND waits.paid_at BETWEEN paid.at - $5::interval AND paid.at + $5::interval
                       ORDER BY waits.paid_at
                       LIMIT $6
                  ) AS alike
       ) AS waiting,
       array(SELECT row(supporter_id, telegram_id) FROM supported) AS supporters,
       array(SELECT row(name, telegram_id, is_undone) FROM subscribed) AS subscribers,
       array(
           SELECT row(outsiders.kind, outsiders.name, outsiders.outsider_id)
             FROM unnest($13::text [], $14::text []) AS named (kind, name)
             JOIN outsiders ON outsiders.kind = named.kind AND outsiders.name = named.name AND outsiders.ended_at IS NULL
       ) AS outsiders,
       array(
           SELECT row(by_name.telegram_id, lower(by_name.username)) FROM users AS by_name WHERE lower(by_name.username) = ANY($15::text [])
            UNION ALL
           SELECT row(by_id.telegram_id, NULL::text) FROM users AS by_id WHERE by_id.telegram_id = ANY($16::bigint [])
       ) AS mentioned,
       array(
           SELECT row(
                      payment_id, telegram_id, amount, currency, status, created_at, ended_at, requested_again_at
                  )
             FROM candidates
       ) AS payments,
       array(
           SELECT row(guesses.telegram_id, max(guesses.guessed_at), max(guesses.taken_back_at))
             FROM owners
             JOIN guesses USING (telegram_id)
            GROUP BY guesses.telegram_id
       ) AS guesses,
       array(
           SELECT users.telegram_id
             FROM users
            WHERE users.erased_at IS NOT NULL
              AND users.telegram_id IN (
                      SELECT telegram_id FROM owners
                       UNION ALL
                      SELECT telegram_id FROM supported
                       UNION ALL
                      SELECT telegram_id FROM subscribed
                       UNION ALL
                      SELECT unnest($17::bigint [])
                  )
       ) AS erased;

-- name: find_charges_by_keys
-- $1 charge keys
SELECT *
  FROM charges
 WHERE charge_key = ANY($1::text []);

-- name: keep_events
-- Store the events of a batch and their supporters. An event that is already stored is skipped. The newest name and e-mail address of
-- each supporter are stored. The rows of supporters are sorted, so that concurrent transactions lock them in the same order and cannot
-- deadlock.
-- $1 now
-- $2 delivery keys, $3 types, $4 live modes, $5 attempts, $6 bodies, $7 outcomes, $8 charge keys, $9 times of receipt,
-- $10 positions in BMC_WEBHOOK_SECRETS of the secrets that verified the signatures, or nulls, $11 supporter ids,
-- $12 times at which the bodies were blanked, or nulls, $13 channels: arrays of equal length
-- $14 supporter ids, $15 names, $16 e-mail addresses: arrays of equal length
WITH kept_events AS (
    INSERT INTO events (
        delivery_key, type, live_mode, attempt, body, outcome, charge_key, received_at, verified_by, supporter_id, blanked_at, channel
    )
    SELECT *
      FROM unnest(
               $2::text [], $3::text [], $4::boolean [], $5::integer [], $6::bytea [], $7::text [], $8::text [],
               $9::timestamptz [], $10::smallint [], $11::text [], $12::timestamptz [], $13::text []
           )
    ON CONFLICT (delivery_key, source) DO NOTHING
),

kept_supporters AS (
    INSERT INTO supporters AS known (supporter_id, name, email, first_seen_at, last_seen_at)
    SELECT seen.supporter_id, seen.name, seen.email, $1, $1
      FROM unnest($14::text [], $15::text [], $16::text []) AS seen (supporter_id, name, email)
     ORDER BY seen.supporter_id
    ON CONFLICT (supporter_id) DO UPDATE
    SET name = coalesce(excluded.name, known.name),
        email = coalesce(excluded.email, known.email),
        last_seen_at = greatest(excluded.last_seen_at, known.last_seen_at)
)

SELECT;

-- name: write_decisions
-- Write the decisions about charges, and wake the bot. One statement does both, because a settlement would have to wait for
-- the answer to each further statement. Return the ids of the charges that this statement credited.
--
-- Each charge is credited at most once: the unique index credited_once prevents a second credit. A pending payment that is
-- cancelled or expired keeps its status. A fact key names the fact that a notification reports. A notification is skipped if an
-- earlier notification has the same fact key, so that no fact is reported twice.
--
-- In completed, the condition on the status is written so that Postgres cannot use an index of the open payments. Otherwise
-- Postgres could plan, while there are few open payments, to read all of them for each payment, and keep this plan.
--
-- $1 now
-- $2, $3 and $5 are JSON arrays of objects, whose keys are columns: $2 charges, $3 new credits of charges, $5 notifications, whose
-- `telegram_id` is null for the operators
-- $4 JSON object: for each completed pending payment, its id and the charge that completed it
WITH kept AS (
    INSERT INTO charges AS kept (
        charge_key, source, family, bmc_id, transaction_id, psp_id, period_start, supporter_id, amount, currency, note, item,
        item_name, payer_name, paid_at, state, is_paid, is_held, doubt, told, conflicts_with, dismissed_by, method, reasons,
        payment_id, telegram_id, flag, matched_at, refunded_at, refunded_amount, channel
    )
    SELECT charge_key, source, family, bmc_id, transaction_id, psp_id, period_start, supporter_id, amount, currency, note, item,
           item_name, payer_name, paid_at, state, is_paid, is_held, doubt, told, conflicts_with, dismissed_by, method, reasons,
           payment_id, telegram_id, flag, matched_at, refunded_at, refunded_amount, channel
      FROM jsonb_populate_recordset(NULL::charges, $2::jsonb)
    ON CONFLICT (charge_key) DO UPDATE
    SET bmc_id = excluded.bmc_id, transaction_id = excluded.transaction_id, psp_id = excluded.psp_id,
        supporter_id = excluded.supporter_id, amount = excluded.amount, currency = excluded.currency, note = excluded.note,
        item = excluded.item, item_name = excluded.item_name, payer_name = excluded.payer_name, paid_at = excluded.paid_at,
        state = excluded.state, is_paid = excluded.is_paid, is_held = excluded.is_held, doubt = excluded.doubt, told = excluded.told,
        dismissed_by = excluded.dismissed_by, method = excluded.method, reasons = excluded.reasons,
        payment_id = excluded.payment_id, telegram_id = excluded.telegram_id, flag = excluded.flag,
        matched_at = excluded.matched_at, refunded_at = excluded.refunded_at, refunded_amount = excluded.refunded_amount
    RETURNING kept.charge_id, kept.charge_key
),

credited AS (
    INSERT INTO credits (charge_id, kind, telegram_id, credits, created_at)
    SELECT kept.charge_id, 'payment', paid.telegram_id, paid.credits, $1
      FROM jsonb_to_recordset($3::jsonb) AS paid (charge_key text, telegram_id bigint, credits bigint)
      JOIN kept ON kept.charge_key = paid.charge_key
    ON CONFLICT (charge_id, follows) WHERE kind = 'payment' DO NOTHING
    RETURNING charge_id
),

completed AS (
    UPDATE pending_payments
       SET status = 'completed', completed_at = $1, ended_at = $1, bmc_data = $4::jsonb -> payment_id
     WHERE payment_id = ANY(array(SELECT jsonb_object_keys($4::jsonb)))
       AND status || '' = 'pending'
),

queued AS (
    INSERT INTO notifications (telegram_id, kind, facts, fact_key, traceparent)
    SELECT new.*
      FROM jsonb_to_recordset($5::jsonb) AS new (telegram_id bigint, kind text, facts jsonb, fact_key text, traceparent text)
    ON CONFLICT (fact_key) DO NOTHING
)

SELECT array(SELECT charge_id FROM credited) AS credited,
       CASE WHEN jsonb_array_length($5::jsonb) > 0 THEN pg_notify('payments', '') END AS announced;

-- name: reverse_refunded_charges
-- Take back the remaining credits of these charges, because the payments were refunded.
-- $1 charge keys, $2 now
INSERT INTO credits (charge_id, kind, telegram_id, credits, reverses, created_at)
SELECT given.charge_id, 'refund', given.telegram_id, -credits_left(given.credit_id), given.credit_id, $2
  FROM charges
  JOIN credits AS given ON given.charge_id = charges.charge_id AND given.kind = 'payment'
 WHERE charges.charge_key = ANY($1::text [])
   AND credits_left(given.credit_id) > 0
RETURNING telegram_id;

-- name: keep_guesses
-- Record that charges were matched to users by a guess.
-- $1 charge keys, $2 users: arrays of equal length; $3 now
INSERT INTO guesses (charge_id, telegram_id, guessed_at)
SELECT charges.charge_id, guessed.telegram_id, $3
  FROM unnest($1::text [], $2::bigint []) AS guessed (charge_key, telegram_id)
  JOIN charges ON charges.charge_key = guessed.charge_key
ON CONFLICT (charge_id) DO NOTHING;

-- name: end_outsiders
-- End these marks of outsiders. A mark ends if a match to a user shows that the mark was wrong. A mark also ends if an operator
-- undoes the dismissal that created the mark, or a dismissal that the mark caused.
-- $1 outsider ids, $2 now
UPDATE outsiders SET ended_at = $2 WHERE outsider_id = ANY($1::bigint []) AND ended_at IS NULL;

-- name: tell_operators_of_overdrafts
-- Notify the operators about each user whose balance is negative after credits were taken back. Credits are taken back after a
-- refund, or if the user rejects a guess. The balance becomes negative if the user has already spent the credits.
-- $1 users whose credits were just taken back
INSERT INTO notifications (telegram_id, kind, facts)
SELECT NULL, 'refund_overdrawn', jsonb_build_object('telegram_id', telegram_id, 'balance', balance)
  FROM balances
 WHERE telegram_id = ANY($1::bigint [])
   AND balance < 0;

-- name: queue_notifications
-- Queue notifications. A fact key names the fact that a notification reports. Skip a notification whose fact key was already
-- used, so that no fact is reported twice. A notification without a fact key is always queued.
-- $1 JSON array of objects, whose keys are columns; `telegram_id` is null for the operators
INSERT INTO notifications (telegram_id, kind, facts, fact_key, traceparent)
SELECT new.*
  FROM jsonb_to_recordset($1::jsonb) AS new (telegram_id bigint, kind text, facts jsonb, fact_key text, traceparent text)
ON CONFLICT (fact_key) DO NOTHING;

-- name: announce
-- Wake the processes that listen to the channel `payments`. They find the changes by queries. All payloads are equal, so that
-- Postgres sends only one NOTIFY for a transaction.
SELECT pg_notify('payments', '');

-- name: count_signature_failures
-- Count deliveries with a wrong signature. Notify the operators only if no wrong signature was counted since $3, so that they get
-- one message for each burst. Return no row if the operators are not notified.
-- $1 present minute, $2 number of deliveries, $3 time
WITH counted AS (
    INSERT INTO signature_failures AS known (minute, failures)
    VALUES ($1, $2)
    ON CONFLICT (minute) DO UPDATE SET failures = known.failures + excluded.failures
)
INSERT INTO notifications (telegram_id, kind, facts, fact_key)
SELECT NULL, 'signature_failures', jsonb_build_object('count', $2::bigint), 'signature_failures:' || $1::timestamptz
 WHERE NOT EXISTS (SELECT FROM signature_failures WHERE minute >= $3)
ON CONFLICT (fact_key) DO NOTHING
-- Return true instead of the id, because the webhook has no privilege to read the ids of notifications.
RETURNING true;

-- name: count_refused
-- Return how many deliveries all webhook replicas together have refused since the last accepted delivery.
-- $1 if the last refusal was before this time, the number is 0
SELECT CASE WHEN refused_at < $1 THEN 0 ELSE refused END FROM webhook_answers;

-- name: keep_answers
-- Update the number of deliveries that all webhook replicas together have refused since the last accepted delivery. Each call
-- adds the answers of one replica.
-- Set the stored number to 0 if $1 is later than the stored accepted delivery, or if the last stored refusal is older than $4. Then
-- add $2, but only if $3 is later than the stored accepted delivery: a replica may add older answers after another replica has
-- added newer ones.
-- $1 time of the last accepted delivery of the replica, or null, $2 number of its refusals after $1
-- $3 time of its last refusal, or null, $4 time before which a refusal no longer counts
UPDATE webhook_answers
   SET accepted_at = greatest(accepted_at, $1),
       refused = CASE WHEN $1 > accepted_at OR refused_at < $4 THEN 0 ELSE refused END
           + CASE WHEN $3::timestamptz > accepted_at THEN $2::integer ELSE 0 END,
       refused_at = greatest(refused_at, $3)
RETURNING refused;
