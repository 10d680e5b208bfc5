-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '10s';

-- Creating a trigger locks its table. So take the settling turn first (see docs/glossary.md). Otherwise a settlement and this
-- file could each hold a lock on one of the tables below and wait for each other: a deadlock. take_settling_turn() also limits
-- the wait for each later lock to half a second, because payments wait while this file waits. If a lock is not available in
-- time, `migrate` repeats this file.
SELECT take_settling_turn();

-- The numbers of pending payments, charges and entries. The janitor exports them every few seconds, and counting the rows of these tables
-- would take longer and longer. So triggers insert a row for each change of a number, and the number is the sum of its rows. A change is
-- committed together with the rows that it counts, so the sums are right in every snapshot of the database. No row is ever updated, so no
-- transaction waits for another one. The janitor merges rows when there are many.
CREATE TABLE counts (
    counted text NOT NULL,
    kind text,
    method text,
    currency text,
    number bigint NOT NULL,
    amount numeric NOT NULL DEFAULT 0
);
COMMENT ON COLUMN counts.counted
IS 'The counted rows: pending_payments, charges (only those whose payment was received), credits_given, credits_taken, or overdrawn.';
COMMENT ON COLUMN counts.kind
IS 'The status of the pending payments, the state of the charges, or the kind of the entries. Of overdrawn: refund or balance.';
COMMENT ON COLUMN counts.method IS 'The method by which the charges were matched.';
COMMENT ON COLUMN counts.currency IS 'The currency of the charges.';
COMMENT ON COLUMN counts.number IS 'How many rows were added. Negative if rows were changed, and belong to another number now.';
COMMENT ON COLUMN counts.amount IS 'The sum of the charges'' amounts, or of the entries'' credits without their sign.';

-- The functions below run as the owner, so that no service needs a privilege to insert counts.
CREATE FUNCTION count_pending_payments() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO public.counts (counted, kind, number)
        SELECT 'pending_payments', status, count(*) FROM added GROUP BY status;
    ELSE
        INSERT INTO public.counts (counted, kind, number)
        SELECT 'pending_payments', status, sum(sign)
          FROM (SELECT 1 AS sign, status FROM added UNION ALL SELECT -1, status FROM removed) AS changed
         GROUP BY status
        HAVING sum(sign) <> 0;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER new_payments_are_counted
AFTER INSERT ON pending_payments
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION count_pending_payments();

CREATE TRIGGER changed_payments_are_counted
AFTER UPDATE ON pending_payments
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION count_pending_payments();

CREATE FUNCTION count_new_charges() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.counts (counted, kind, method, currency, number, amount)
    SELECT 'charges', state, method, currency, count(*), coalesce(sum(amount), 0)
      FROM added
     WHERE is_paid
     GROUP BY state, method, currency;
    RETURN NULL;
END
$$;

CREATE TRIGGER new_charges_are_counted
AFTER INSERT ON charges
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION count_new_charges();

CREATE FUNCTION count_changed_charge() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.counts (counted, kind, method, currency, number, amount)
    SELECT 'charges', state, method, currency, sign, sign * coalesce(amount, 0)
      FROM (VALUES
               (-1, OLD.is_paid, OLD.state, OLD.method, OLD.currency, OLD.amount),
               (1, NEW.is_paid, NEW.state, NEW.method, NEW.currency, NEW.amount)
           ) AS changed (sign, is_paid, state, method, currency, amount)
     WHERE is_paid;
    RETURN NULL;
END
$$;

-- Most charges never change. A row-level trigger with a condition costs nothing when new charges are inserted. A
-- statement-level trigger would run for every batch of new charges, because charges are inserted with ON CONFLICT DO UPDATE,
-- and Postgres runs statement-level UPDATE triggers for each statement with this clause.
CREATE TRIGGER changed_charge_is_counted
AFTER UPDATE ON charges
FOR EACH ROW
WHEN (
    (OLD.is_paid, OLD.state, OLD.method, OLD.currency, OLD.amount)
    IS DISTINCT FROM (NEW.is_paid, NEW.state, NEW.method, NEW.currency, NEW.amount)
)
EXECUTE FUNCTION count_changed_charge();

CREATE FUNCTION count_credits() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.counts (counted, kind, number, amount)
    SELECT CASE WHEN credits < 0 THEN 'credits_taken' ELSE 'credits_given' END, kind, count(*), sum(abs(credits))
      FROM added
     GROUP BY credits < 0, kind;
    RETURN NULL;
END
$$;

CREATE TRIGGER entries_are_counted
AFTER INSERT ON credits
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION count_credits();

-- Counts a refund if the sum of the user's entries up to this refund is below zero. The trigger runs at the commit, when the
-- transaction has locked the user's balance. A spending that comes later then gets a higher credit_id than the refund, so it
-- does not change the sum up to the refund.
CREATE FUNCTION count_overdrawn_refund() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF (SELECT sum(c.credits) FROM public.credits AS c WHERE c.telegram_id = NEW.telegram_id AND c.credit_id <= NEW.credit_id) < 0 THEN
        INSERT INTO public.counts (counted, kind, number) VALUES ('overdrawn', 'refund', 1);
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER overdrawn_refund_is_counted
AFTER INSERT ON credits
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.kind = 'refund')
EXECUTE FUNCTION count_overdrawn_refund();

-- Adds 1 to the number of negative balances when a balance falls below zero, and -1 when the balance is no longer negative.
CREATE FUNCTION count_overdrawn_balance() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.counts (counted, kind, number) VALUES ('overdrawn', 'balance', CASE WHEN NEW.balance < 0 THEN 1 ELSE -1 END);
    RETURN NULL;
END
$$;

CREATE TRIGGER new_overdrawn_balance_is_counted
AFTER INSERT ON balances
FOR EACH ROW WHEN (NEW.balance < 0)
EXECUTE FUNCTION count_overdrawn_balance();

CREATE TRIGGER changed_overdrawn_balance_is_counted
AFTER UPDATE ON balances
FOR EACH ROW WHEN ((OLD.balance < 0) <> (NEW.balance < 0))
EXECUTE FUNCTION count_overdrawn_balance();

-- The differences between the real numbers and the sums in the table `counts`. The view is empty, unless someone deleted rows,
-- or changed rows while the triggers were disabled. The view counts all rows, so it takes seconds if there are millions of
-- rows.
CREATE VIEW missing_counts AS
SELECT counted, kind, method, currency, sum(number)::bigint AS number, sum(amount) AS amount
  FROM (
           SELECT 'pending_payments' AS counted, status::text AS kind, NULL::text AS method, NULL::text AS currency,
                  count(*) AS number, 0::numeric AS amount
             FROM pending_payments
            GROUP BY status
            UNION ALL
           SELECT 'charges', state, method, currency, count(*), coalesce(sum(amount), 0)
             FROM charges
            WHERE is_paid
            GROUP BY state, method, currency
            UNION ALL
           SELECT CASE WHEN credits < 0 THEN 'credits_taken' ELSE 'credits_given' END, kind, NULL, NULL, count(*), sum(abs(credits))
             FROM credits
            GROUP BY credits < 0, kind
            UNION ALL
           SELECT 'overdrawn', 'refund', NULL, NULL, count(*), 0
             FROM credits AS refunds
            WHERE refunds.kind = 'refund'
              AND (
                      SELECT sum(entries.credits)
                        FROM credits AS entries
                       WHERE entries.telegram_id = refunds.telegram_id AND entries.credit_id <= refunds.credit_id
                  ) < 0
            UNION ALL
           SELECT 'overdrawn', 'balance', NULL, NULL, count(*), 0 FROM balances WHERE balance < 0
            UNION ALL
           SELECT counted, kind, method, currency, -number, -amount FROM counts
       ) AS compared
 GROUP BY counted, kind, method, currency
HAVING sum(number) <> 0 OR sum(amount) <> 0;

-- migrate:down
