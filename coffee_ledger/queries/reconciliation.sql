-- Statements that compare Buy Me a Coffee's own lists with our charges.

-- name: find_known_transactions
-- Return which of these transaction ids belong to a charge of any family. The condition on `conflicts_with` lets Postgres use
-- the index one_charge_per_transaction, which contains only charges whose `conflicts_with` is null. All known transaction ids
-- are still found, because the first charge with a transaction id always has a null in `conflicts_with`.
-- $1 source, $2 transaction ids
SELECT transaction_id, state = 'refunded' AS is_refunded
  FROM charges
 WHERE source = $1
   AND transaction_id = ANY($2::text [])
   AND conflicts_with IS NULL;

-- name: find_known_periods
-- Return the billing periods of these subscriptions for which a charge is stored.
-- $1 source, $2 ids of the subscriptions at the payment provider
SELECT psp_id, period_start
  FROM charges
 WHERE source = $1
   AND psp_id = ANY($2::text [])
   AND period_start IS NOT NULL;

-- name: find_known_numbers
-- Return which of the numbers $3 belong to a charge that has no transaction id and is of any of the families $2.
-- $1 source, $2 families, $3 BMC numbers
SELECT bmc_id
  FROM charges
 WHERE source = $1
   AND family = ANY($2::text [])
   AND bmc_id = ANY($3::text [])
   AND transaction_id IS NULL;

-- name: keep_listings
-- Record that BMC's lists contain these charges. BMC lists a subscription in one row, which shows only the last period. This
-- row also counts as proof of the charges of all earlier periods since the start of the subscription.
-- $1 source, $2 transaction ids
-- $3 ids of subscriptions, $4 earliest start of a period, $5 latest start of a period (arrays of equal length)
-- $6 families, $7 BMC numbers of payments without a transaction id
-- $8 now
INSERT INTO charge_listings (charge_id, listed_at)
SELECT charge_id, $8::timestamptz
  FROM charges
 WHERE source = $1
   AND transaction_id = ANY($2::text [])
   AND conflicts_with IS NULL
 UNION
SELECT charges.charge_id, $8::timestamptz
  FROM unnest($3::text [], $4::timestamptz [], $5::timestamptz []) AS listed (psp_id, begins_after, begins_until)
  JOIN charges
    ON charges.source = $1
   AND charges.psp_id = listed.psp_id
   AND charges.period_start BETWEEN listed.begins_after AND listed.begins_until
 UNION
SELECT charge_id, $8::timestamptz
  FROM charges
 WHERE source = $1
   AND family = ANY($6::text [])
   AND bmc_id = ANY($7::text [])
   AND transaction_id IS NULL
ON CONFLICT (charge_id) DO UPDATE
SET listed_at = excluded.listed_at
WHERE charge_listings.listed_at IS NULL;

-- name: find_first_day
-- Return the time since which the product has been in use: the time of the first pending payment or event, whichever is
-- earlier. Test events do not count. Return null if there is neither a pending payment nor an event.
SELECT least(
           (SELECT min(created_at) FROM pending_payments),
           (SELECT min(received_at) FROM events WHERE live_mode IS NOT FALSE)
       );

-- name: find_lists
-- Find the state of the reconciliation of each of BMC's lists.
SELECT list, state, checked_at, completed_at, old_page, rotation_began_at, covered_at, differs_in_zone
  FROM reconciliation_lists
 ORDER BY list;

-- name: keep_list
-- Store the state of the reconciliation of one of BMC's lists. Each pass reads the newest pages and one older page. A rotation
-- is the series of passes that reads all older pages.
-- $1 list, $2 state, $3 now, $4 start of the last pass that read all new rows, $5 older page that the next pass reads, $6 start
-- of the rotation, $7 start of the last pass or rotation that read the whole list, $8 whether the times in the
-- list seem to be in another time zone than UTC
INSERT INTO reconciliation_lists (list, state, checked_at, completed_at, old_page, rotation_began_at, covered_at, differs_in_zone)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (list) DO UPDATE
SET state = excluded.state, checked_at = excluded.checked_at, completed_at = excluded.completed_at, old_page = excluded.old_page,
    rotation_began_at = excluded.rotation_began_at, covered_at = excluded.covered_at, differs_in_zone = excluded.differs_in_zone;

-- name: note_missing_rows
-- Store rows of BMC's lists whose payment or refund is missing from our tables. For each row, return the time at which the row
-- was first stored. The name of a row consists of `api`, the name of its list, and its id.
-- $1 names of the rows, $2 lists, $3 amounts, $4 currencies, $5 times of payment (arrays of equal length), $6 now
WITH missing AS (
    SELECT *
      FROM unnest($1::text [], $2::text [], $3::numeric [], $4::text [], $5::timestamptz [])
               AS missing (row_name, list, amount, currency, paid_at)
),

added AS (
    INSERT INTO missing_rows (row_name, list, amount, currency, paid_at, first_seen_at)
    SELECT row_name, list, amount, currency, paid_at, $6 FROM missing
    ON CONFLICT (row_name) DO NOTHING
    RETURNING row_name, first_seen_at
)

SELECT row_name, first_seen_at FROM added
 UNION ALL
SELECT missing_rows.row_name, missing_rows.first_seen_at
  FROM missing_rows
  JOIN missing USING (row_name);

-- name: forget_missing_rows
-- Delete rows from the table `missing_rows`, because their payments or refunds are now in our other tables.
-- $1 names of the rows: `api`, the name of the list, and the id
DELETE FROM missing_rows WHERE row_name = ANY($1::text []);

-- name: count_missing_rows
SELECT count(*) FROM missing_rows;

-- name: request_reconciliation
-- Ask the janitor to compare BMC's lists with our charges at once. Insert the request only if the janitor has read a list since
-- $4. Otherwise the janitor probably does not read the lists at all, and would never answer the request.
-- $1 cause, $2 claim to look up or null, $3 now, $4 the time since which the janitor must have read a list
INSERT INTO reconciliation_requests (cause, claim_id, requested_at)
SELECT $1, $2::bigint, $3
 WHERE EXISTS (SELECT FROM reconciliation_lists WHERE checked_at >= $4)
ON CONFLICT (claim_id) DO NOTHING
RETURNING request_id;

-- name: find_open_requests
-- Find the requests that are not answered yet. For a request about a claim, also return the claim's user, amount and currency.
-- $1 earliest time of the requests
SELECT requests.request_id, requests.cause, requests.claim_id, claims.telegram_id, claims.amount, claims.currency
  FROM reconciliation_requests AS requests
  LEFT JOIN claims USING (claim_id)
 WHERE requests.answered_at IS NULL
   AND requests.requested_at >= $1
 ORDER BY requests.request_id;

-- name: answer_requests
-- Record that these requests are answered.
-- $1 request ids, $2 now
UPDATE reconciliation_requests SET answered_at = $2 WHERE request_id = ANY($1::bigint []) AND answered_at IS NULL;

-- name: is_request_answered
-- $1 request id
SELECT answered_at IS NOT NULL FROM reconciliation_requests WHERE request_id = $1;

-- name: find_own_codes
-- Return which of these codes belong to the user.
-- $1 codes, $2 Telegram id
SELECT payment_id FROM pending_payments WHERE payment_id = ANY($1::text []) AND telegram_id = $2;

-- name: find_unlisted_charges
-- Find charges that were reported by webhooks but are in none of BMC's lists. A charge is returned only if the lists for its
-- kind of payment were read completely after the charge was settled. Refunded charges are left out, because they give no
-- credits.
-- $1 earliest time of payment, $2 only one-time payments settled before this time, $3 only Shop purchases settled before this
-- time, $4 only subscription charges settled before this time (each of $2 to $4 is null if its lists were never read
-- completely), $5 maximum number of charges
SELECT charges.charge_key
  FROM charges
 WHERE charges.paid_at >= $1
   AND charges.recorded_at < CASE
           WHEN charges.family IN ('recurring_donation', 'membership') THEN $4::timestamptz
           WHEN charges.family = 'extra_purchase' THEN $3::timestamptz
           ELSE $2::timestamptz
       END
   AND charges.channel = 'webhook'
   AND charges.is_paid
   AND charges.state <> 'refunded'
   AND NOT EXISTS (SELECT FROM charge_listings WHERE charge_listings.charge_id = charges.charge_id)
 ORDER BY charges.charge_id
 LIMIT $5;

-- name: keep_unlisted
-- Record that the operators were notified of these charges, which are in none of BMC's lists.
-- $1 charge keys, $2 now
INSERT INTO charge_listings (charge_id, reported_at)
SELECT charge_id, $2 FROM charges WHERE charge_key = ANY($1::text [])
ON CONFLICT (charge_id) DO NOTHING;

-- name: find_listed_events
-- Find the newest events that came from BMC's lists, with their charges.
-- $1 maximum
SELECT events.event_no, events.type, events.outcome, events.received_at, charges.charge_id, charges.amount, charges.currency,
       charges.paid_at, charges.state, charges.telegram_id
  FROM events
  LEFT JOIN charges ON charges.charge_key = events.charge_key
 WHERE events.channel = 'api'
 ORDER BY events.event_no DESC
 LIMIT $1;

-- name: find_missing_rows
-- Find the rows of BMC's lists whose payment or refund is missing from our tables, the oldest first. The webhook for a row may
-- still come.
-- $1 maximum
SELECT list, amount, currency, paid_at, first_seen_at FROM missing_rows ORDER BY first_seen_at, row_name LIMIT $1;

-- name: find_reported_charges
-- Find the charges that were reported to operators because none of BMC's lists contained them, the most recently reported
-- first. A charge that was found in a list after the report is left out.
-- $1 maximum
SELECT charges.charge_id, charges.amount, charges.currency, charges.paid_at, charges.state, charges.telegram_id
  FROM charge_listings
  JOIN charges USING (charge_id)
 WHERE charge_listings.listed_at IS NULL
 ORDER BY charge_listings.reported_at DESC
 LIMIT $1;
