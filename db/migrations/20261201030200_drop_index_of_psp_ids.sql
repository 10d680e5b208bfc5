-- squawk-disable-assume-in-transaction
-- squawk-ignore-file require-lock-timeout, require-statement-timeout
-- migrate:up transaction:false
-- Searches by psp_id use one_charge_per_billing_period, which begins with this column.
DROP INDEX CONCURRENTLY IF EXISTS charges_psp_id;

-- migrate:down
