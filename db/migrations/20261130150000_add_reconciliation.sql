-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

-- `channel` says how we learned of an event or a charge. Postgres adds a column with a constant default
-- quickly, because no row is rewritten. Services of the old version also need the default, because they insert rows without
-- this column.
ALTER TABLE events ADD COLUMN channel text NOT NULL DEFAULT 'webhook';
ALTER TABLE events ADD CONSTRAINT channel_is_known CHECK (channel IN ('webhook', 'api')) NOT VALID;
COMMENT ON COLUMN events.channel IS 'How the event reached us: as a webhook, or as a row of BMC''s own list (api).';
ALTER TABLE charges ADD COLUMN channel text NOT NULL DEFAULT 'webhook';
ALTER TABLE charges ADD CONSTRAINT channel_is_known CHECK (channel IN ('webhook', 'api')) NOT VALID;
COMMENT ON COLUMN charges.channel IS 'How we first learned of the charge. Not part of the identity.';

CREATE OR REPLACE VIEW past.charges AS
SELECT charges.*
  FROM public.charges
 WHERE charges.recorded_at < past.at() AND charges.charge_key <> past.without()
   AND NOT past.was_decided_later(charges.charge_id, charges.state, coalesce(charges.matched_at, charges.refunded_at))
UNION ALL
SELECT charge_id, source, charge_key, family, bmc_id, transaction_id, psp_id, period_start, supporter_id, amount, currency, note, item,
       item_name, payer_name, paid_at, 'unmatched', NULL, reasons, NULL::varchar(100), NULL, NULL, is_paid, is_held, doubt, told,
       conflicts_with, NULL, recorded_at, NULL, NULL, refunded_amount, channel
  FROM public.charges
 WHERE charges.recorded_at < past.at() AND charges.charge_key <> past.without()
   AND past.was_decided_later(charges.charge_id, charges.state, coalesce(charges.matched_at, charges.refunded_at));

-- Create the view again, because `SELECT *` contains only the columns that the table had when the view was created.
CREATE OR REPLACE VIEW past.events AS
SELECT * FROM public.events WHERE false;

-- The janitor compares BMC's own lists with the table charges (docs/reconciliation.md). Each row is one of these lists.
CREATE TABLE reconciliation_lists (
    list text PRIMARY KEY,
    state text NOT NULL,
    checked_at timestamptz NOT NULL,
    completed_at timestamptz,
    old_page bigint NOT NULL DEFAULT 2,
    rotation_began_at timestamptz,
    covered_at timestamptz,
    differs_in_zone boolean NOT NULL DEFAULT false,
    CONSTRAINT list_is_known CHECK (list IN ('supporters', 'subscriptions', 'extras'))
);
COMMENT ON COLUMN reconciliation_lists.state IS 'The result of the last request: an ApiState of coffee_ledger/bmc_api.py.';
COMMENT ON COLUMN reconciliation_lists.completed_at
IS 'The start of the last pass that read all new rows. Null before the first such pass.';
COMMENT ON COLUMN reconciliation_lists.old_page IS 'The older page that the next pass reads too, to find late refunds.';
COMMENT ON COLUMN reconciliation_lists.rotation_began_at IS 'When the reading of the older pages last began at page 2.';
COMMENT ON COLUMN reconciliation_lists.covered_at
IS 'The start of the last reading that has covered the whole list. A charge that was paid before and is not listed is reported.';
COMMENT ON COLUMN reconciliation_lists.differs_in_zone IS 'True if the times in the list seem to be in another zone than UTC.';

-- The rows of BMC's lists for which no charge is known yet. For most of them, the webhook comes within seconds and settles the
-- payment. Then the row is deleted from this table. If no webhook comes, the janitor settles the payment from the row 15
-- minutes after first_seen_at.
CREATE TABLE missing_rows (
    row_name text PRIMARY KEY,
    list text NOT NULL,
    amount numeric,
    currency text,
    paid_at timestamptz,
    first_seen_at timestamptz NOT NULL
);
COMMENT ON COLUMN missing_rows.row_name IS 'The list and the number of the row, as in the key of the event that the row becomes.';
COMMENT ON COLUMN missing_rows.paid_at IS 'The time in the row, which has no zone. Null if it cannot be read.';

-- Requests to the janitor to compare the lists with the charges without delay, or to look up a claim in the lists. The janitor
-- answers each request once.
CREATE TABLE reconciliation_requests (
    request_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cause text NOT NULL,
    claim_id bigint REFERENCES claims,
    requested_at timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz,
    CONSTRAINT cause_is_known CHECK (cause IN ('operator', 'claim', 'restore')),
    CONSTRAINT only_a_claim_has_its_claim CHECK ((cause = 'claim') = (claim_id IS NOT NULL)),
    CONSTRAINT looked_up_once UNIQUE (claim_id)
);
COMMENT ON COLUMN reconciliation_requests.cause
IS 'An operator sent /reconcile, a user raised a claim, or a backup was restored.';
CREATE INDEX reconciliation_requests_open ON reconciliation_requests (request_id) WHERE answered_at IS NULL;

-- Records which charges were found in BMC's lists, and which charges were reported to operators because no list contains them.
-- A charge that no list contains may be forged with a leaked signing secret.
CREATE TABLE charge_listings (
    charge_id bigint PRIMARY KEY REFERENCES charges,
    listed_at timestamptz,
    reported_at timestamptz,
    CONSTRAINT is_listed_or_reported CHECK (listed_at IS NOT NULL OR reported_at IS NOT NULL)
);
COMMENT ON COLUMN charge_listings.listed_at IS 'When the charge was first found in a list. Null if it was not found.';
COMMENT ON COLUMN charge_listings.reported_at
IS 'When operators were told that the lists do not contain the charge. Null if they were not.';

GRANT INSERT ON events TO janitor;
GRANT SELECT, INSERT, UPDATE ON reconciliation_lists TO janitor;
GRANT SELECT, INSERT, DELETE ON missing_rows TO janitor;
GRANT SELECT, UPDATE (answered_at) ON reconciliation_requests TO janitor;
GRANT SELECT, INSERT, UPDATE (listed_at, reported_at) ON charge_listings TO janitor;
GRANT SELECT ON reconciliation_lists, missing_rows, charge_listings TO bot;
GRANT SELECT, INSERT ON reconciliation_requests TO bot;

CREATE OR REPLACE FUNCTION schema_version() RETURNS integer LANGUAGE sql IMMUTABLE RETURN 6;

-- migrate:down
