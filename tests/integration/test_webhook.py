"""The webhook answers each delivery correctly, and each delivery creates the right rows, metrics and log lines."""

import asyncio
import json
import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from coffee_ledger.codes import issue_code
from coffee_ledger.runtime.bodies import BodyReader
from coffee_ledger.store.database import open_pool
from services.webhook import batcher
from services.webhook.app import BODY_BYTES_MAX
from tests.integration.bmc import SECRET, a_payment, raw, sign
from tests.integration.people import ANNA, Ledger
from tests.integration.test_settling import CODE
from tests.integration.webhook import PROBE_SECRET, Webhook, serve_webhook


def counted(refusal: str) -> float:
    found = REGISTRY.get_sample_value("ledger_webhook_deliveries_total", {"event": "unverified", "outcome": refusal})
    return found or 0.0


ODD_BODIES = {
    "not JSON": b"coffee",
    "empty": b"",
    "deeply nested": b"[" * 100_000,
    "an unknown type": b'{"type": "coffee.spilled", "live_mode": true, "event_id": 5, "data": {}}',
    "a huge number": b'{"type": "donation.created", "data": {"id": 1, "amount": 1e400}}',
    "digits without end": b'{"type": "donation.created", "data": {"id": ' + b"9" * 6000 + b', "amount": 5}}',
    "NUL and lone surrogates": b'{"type": "donation.created", "data":'
    b' {"id": "\\u0000\\ud800", "amount": 5, "support_note": "\\u0000\\udfff"}}',
    "a type with NUL": b'{"type": "a\\u0000\\ud83d", "live_mode": true, "event_id": "\\u0000"}',
    "raw bytes": bytes(range(256)),
    "a legacy body": b'{"response": {"supporter_email": "", "total_amount": "3"}}',
    "as large as may be": b'{"a": "' + b"x" * (BODY_BYTES_MAX - 9) + b'"}',
    "long ids": raw(a_payment(id="7" * 5000, transaction_id="p" * 5000, supporter_id="s" * 5000, currency="C" * 5000)),
    "a time beyond calendars": raw(a_payment(created_at=10**18) | {"created": -(10**18), "attempt": 10**18}),
}


@pytest.mark.parametrize("body", ODD_BODIES.values(), ids=ODD_BODIES.keys())
async def test_any_signed_body_is_kept_byte_for_byte(webhook: Webhook, ledger: Ledger, body: bytes) -> None:
    status, _ = await webhook.post(body)
    again, _ = await webhook.post(body)

    assert (status, again) == (200, 200)
    assert [row["body"] for row in await ledger.pool.fetch("SELECT body FROM events")] == [body]
    assert await ledger.credits() == []


GOOD = raw(a_payment(support_note=CODE))

UNSIGNED = {
    "no signature": {},
    "wrong": {"x-signature-sha256": "0" * 64},
    "of another secret": sign(GOOD, b"another"),
    "not hex": {"x-signature-sha256": "z" * 64},
    "too short": {"x-signature-sha256": sign(GOOD)["x-signature-sha256"][:-1]},
    "too long": {"x-signature-sha256": sign(GOOD)["x-signature-sha256"] + "0"},
    "empty": {"x-signature-sha256": ""},
    "another prefix": {"x-signature-sha256": "sha1=" + sign(GOOD)["x-signature-sha256"]},
    "two prefixes": {"x-signature-sha256": "sha256=sha256=" + sign(GOOD)["x-signature-sha256"]},
    "not ASCII": {"x-signature-sha256": "ї" * 64},
    "the older header": {"x-bmc-signature": sign(GOOD)["x-signature-sha256"]},
}


@pytest.mark.parametrize("headers", UNSIGNED.values(), ids=UNSIGNED.keys())
async def test_an_unsigned_body_changes_nothing_but_a_counter(
    webhook: Webhook, ledger: Ledger, headers: dict[str, str]
) -> None:
    await ledger.open(CODE)
    error = "bad_signature" if "x-signature-sha256" in headers else "unsigned"
    before = counted(error)

    status, answer = await webhook.post(GOOD, headers=headers)

    assert (status, answer) == (401, {"error": error})
    assert await ledger.outcomes() == []
    assert counted(error) == before + 1


async def test_two_signature_headers_are_refused_although_one_is_valid(webhook: Webhook, ledger: Ledger) -> None:
    both = [("x-signature-sha256", sign(GOOD)["x-signature-sha256"]), ("x-signature-sha256", "0" * 64)]

    async with webhook.session.post(f"{webhook.address}/bmc-webhook", data=GOOD, headers=both) as answer:
        assert answer.status == 401

    assert await ledger.outcomes() == []


@pytest.mark.parametrize("secret", [SECRET, b"an-older-secret"])
async def test_any_of_the_secrets_is_accepted(webhook: Webhook, secret: bytes) -> None:
    status, _ = await webhook.post(GOOD, secret=secret)

    assert status == 200


async def test_the_signature_may_be_written_in_capitals(webhook: Webhook) -> None:
    status, _ = await webhook.post(GOOD, headers={"X-SIGNATURE-SHA256": sign(GOOD)["x-signature-sha256"].upper()})

    assert status == 200


@pytest.mark.parametrize("prefix", ["sha256=", "SHA256="])
async def test_the_signature_may_have_a_prefix(webhook: Webhook, ledger: Ledger, prefix: str) -> None:
    await ledger.open(CODE)

    status, answer = await webhook.post(GOOD, headers={"x-signature-sha256": prefix + sign(GOOD)["x-signature-sha256"]})

    assert (status, answer) == (200, {"outcome": "credited"})


async def test_the_path_may_end_with_a_slash(webhook: Webhook) -> None:
    async with webhook.session.post(f"{webhook.address}/bmc-webhook/", data=GOOD, headers=sign(GOOD)) as answer:
        assert answer.status == 200


async def test_the_signature_is_checked_on_the_body_as_received(webhook: Webhook, ledger: Ledger) -> None:
    status, _ = await webhook.post(GOOD, headers=sign(GOOD) | {"Content-Encoding": "identity"})

    assert status == 200
    assert await ledger.pool.fetchval("SELECT body FROM events") == GOOD


async def test_a_body_over_the_limit_is_refused_without_reading_it(webhook: Webhook, ledger: Ledger) -> None:
    reader, writer = await asyncio.open_connection(*webhook.address.removeprefix("http://").split(":"))
    head = f"POST /bmc-webhook HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_BYTES_MAX + 1}\r\n\r\n"

    writer.write(head.encode())
    async with asyncio.timeout(5):
        answer = await reader.read()

    assert b" 413 " in answer.splitlines()[0]
    assert await ledger.outcomes() == []
    writer.close()


async def test_a_chunked_body_over_the_limit_is_refused(webhook: Webhook, ledger: Ledger) -> None:
    async def endless() -> Any:
        for _ in range(20):
            yield b"x" * (BODY_BYTES_MAX // 16)

    async with webhook.session.post(f"{webhook.address}/bmc-webhook", data=endless()) as answer:
        assert answer.status == 413

    assert await ledger.outcomes() == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_another_method_is_not_allowed(webhook: Webhook, method: str) -> None:
    async with webhook.session.request(method, f"{webhook.address}/bmc-webhook") as answer:
        assert answer.status == 405


@pytest.mark.parametrize("path", ["/", "/bmc-webhook/more", "/metrics", "/healthz", "/bmc-webhook/../metrics"])
async def test_another_path_is_not_found(webhook: Webhook, path: str) -> None:
    async with webhook.session.post(webhook.address + path, data=GOOD, headers=sign(GOOD)) as answer:
        assert answer.status == 404


async def test_an_answer_contains_nothing_about_people_or_the_server(webhook: Webhook, ledger: Ledger) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE, supporter_name="Olena", supporter_email="olena@example.org", supporter_id=5)
    body = raw(payment)

    async with webhook.session.post(f"{webhook.address}/bmc-webhook", data=body, headers=sign(body)) as answer:
        text = await answer.text()

    assert json.loads(text) == {"outcome": "credited"}
    assert "Server" not in answer.headers


async def test_no_delivery_is_acknowledged_without_the_database(role_url: Callable[[str], str]) -> None:
    nowhere = role_url("webhook").replace(str(role_url("webhook").split(":")[2].split("/")[0]), "1")

    async with (
        open_pool(nowhere) as pool,
        serve_webhook(pool) as webhook,
        webhook.session.post(f"{webhook.address}/bmc-webhook", data=GOOD, headers=sign(GOOD)) as answer,
    ):
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0


async def turn_away(ledger: Ledger) -> None:
    """Make the webhook lose its database: let only superusers open connections, and close the webhook's open connections."""
    await ledger.pool.execute(
        f"ALTER DATABASE {await ledger.pool.fetchval('SELECT current_database()')} CONNECTION LIMIT 0"
    )
    await ledger.pool.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = 'webhook'"
    )


async def let_in(ledger: Ledger) -> None:
    await ledger.pool.execute(
        f"ALTER DATABASE {await ledger.pool.fetchval('SELECT current_database()')} CONNECTION LIMIT -1"
    )


async def until_settled(ledger: Ledger, events: int) -> None:
    async with asyncio.timeout(10):
        while len(await ledger.outcomes()) < events:
            pass


async def until_emptied() -> None:
    async with asyncio.timeout(10):
        while exported("ledger_spooled_events"):  # noqa: ASYNC110 — poll, because a Prometheus gauge signals no change
            await asyncio.sleep(0)


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the webhook give up at once if the database is unavailable, instead of waiting for it."""
    monkeypatch.setattr(batcher, "DATABASE_WAIT_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
async def test_deliveries_during_an_outage_are_spooled_and_credited_once(
    role_url: Callable[[str], str], ledger: Ledger, tmp_path: Path
) -> None:
    await ledger.open(CODE)
    spooled = exported("ledger_webhook_deliveries_total", event="donation.created", outcome="spooled")
    async with open_pool(role_url("webhook")) as pool, serve_webhook(pool, spool=tmp_path) as webhook:
        await webhook.post(GOOD, secret=b"another")
        await turn_away(ledger)

        answers = [await webhook.post(GOOD), await webhook.post(GOOD), await webhook.post(a_payment())]
        streak = exported("ledger_webhook_failed_streak")
        await let_in(ledger)
        await until_settled(ledger, 2)
        await until_emptied()
        again = await webhook.post(GOOD)

    assert answers == [(200, {"outcome": "spooled"})] * 3
    assert exported("ledger_webhook_deliveries_total", event="donation.created", outcome="spooled") == spooled + 3
    assert streak == 0
    assert await ledger.outcomes() == ["credited", "unmatched"]
    assert await ledger.credits() == [500]
    assert again == (200, {"outcome": "duplicate"})
    assert files_in(tmp_path) == []


@pytest.mark.usefixtures("impatient")
async def test_a_webhook_settles_events_spooled_by_earlier_processes(
    role_url: Callable[[str], str], ledger: Ledger, tmp_path: Path
) -> None:
    await ledger.open(CODE)
    events = [GOOD, raw(a_payment()), raw(a_payment() | {"live_mode": False})]
    await turn_away(ledger)
    for event in events:
        async with open_pool(role_url("webhook")) as pool, serve_webhook(pool, spool=tmp_path) as webhook:
            assert await webhook.post(event, secret=b"an-older-secret") == (200, {"outcome": "spooled"})
    taken_before = await ledger.pool.fetchval("SELECT now()")
    await let_in(ledger)

    async with open_pool(role_url("webhook")) as pool, serve_webhook(pool, spool=tmp_path):
        await until_settled(ledger, 3)

    kept = await ledger.pool.fetch("SELECT body, verified_by, received_at FROM events ORDER BY event_no")
    assert [(row["body"], row["verified_by"]) for row in kept] == [(event, 1) for event in events]
    assert all(row["received_at"] < taken_before for row in kept)


@pytest.mark.usefixtures("impatient")
async def test_only_signed_events_are_spooled(role_url: Callable[[str], str], ledger: Ledger, tmp_path: Path) -> None:
    await turn_away(ledger)
    async with open_pool(role_url("webhook")) as pool, serve_webhook(pool, spool=tmp_path) as webhook:
        for headers in ({}, sign(GOOD, b"another"), sign(GOOD, PROBE_SECRET)):
            await webhook.post(GOOD, headers=headers)

    assert files_in(tmp_path) == []


@pytest.mark.usefixtures("impatient")
async def test_the_log_of_a_spooled_event_has_ids_but_no_texts(
    role_url: Callable[[str], str], ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await turn_away(ledger)
    words: dict[str, Any] = {"supporter_id": 7, "supporter_name": "Anna", "support_note": "for my cat"}
    async with open_pool(role_url("webhook")) as pool, serve_webhook(pool, spool=tmp_path) as webhook:
        await webhook.post(a_payment(transaction_id="pi_spooled", **words))

    told = capsys.readouterr().out
    assert re.search("event spooled .*donation:pi_spooled", told)
    assert not [word for word in ("Anna", "cat") if word in told]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the webhook wait at most 0.2 seconds for the body of a request, so that the test is fast."""
    monkeypatch.setattr("services.webhook.app.BodyReader", partial(BodyReader, seconds_max=0.2))


@pytest.mark.usefixtures("hasty")
async def test_a_stalled_delivery_is_answered_with_408_and_counted(
    role_url: Callable[[str], str], ledger: Ledger
) -> None:
    before = counted("too_slow")
    async with open_pool(role_url("webhook")) as pool, serve_webhook(pool) as webhook:
        reader, writer = await asyncio.open_connection(*webhook.address.removeprefix("http://").split(":"))
        head = f"POST /bmc-webhook HTTP/1.1\r\nHost: x\r\nContent-Length: {len(GOOD)}\r\n"
        head += f"x-signature-sha256: {sign(GOOD)['x-signature-sha256']}\r\n\r\n"

        writer.write(head.encode() + GOOD[:-1])
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()

    assert b" 408 " in answer.splitlines()[0]
    assert counted("too_slow") == before + 1
    assert await ledger.outcomes() == []


async def test_an_aborted_delivery_is_counted(
    webhook: Webhook, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted("aborted")
    _, writer = await asyncio.open_connection(*webhook.address.removeprefix("http://").split(":"))
    writer.write(b"POST /bmc-webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
    await writer.drain()

    writer.transport.abort()

    async with asyncio.timeout(5):
        while counted("aborted") == before:  # noqa: ASYNC110 — poll, because a Prometheus counter signals no change
            await asyncio.sleep(0)
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_delivery_is_settled_although_its_sender_hangs_up(webhook: Webhook, ledger: Ledger) -> None:
    await ledger.open(CODE)
    _, writer = await asyncio.open_connection(*webhook.address.removeprefix("http://").split(":"))
    head = f"POST /bmc-webhook HTTP/1.1\r\nHost: x\r\nContent-Length: {len(GOOD)}\r\n"
    head += f"x-signature-sha256: {sign(GOOD)['x-signature-sha256']}\r\n\r\n"

    writer.write(head.encode() + GOOD)
    await writer.drain()
    writer.transport.abort()
    await webhook.post(GOOD)

    assert await ledger.credits() == [500]


REFUSE_A_CHARGE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'not this one';
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON charges FOR EACH ROW WHEN (NEW.transaction_id = 'pi_bad') EXECUTE FUNCTION refuse()
"""


async def test_a_payment_refused_by_the_database_does_not_fail_its_neighbours(webhook: Webhook, ledger: Ledger) -> None:
    await ledger.pool.execute(REFUSE_A_CHARGE)
    await ledger.open(CODE)
    good, bad = a_payment(support_note=CODE), a_payment(transaction_id="pi_bad")
    others = [a_payment(amount=amount) for amount in range(10, 20)]

    answers = await asyncio.gather(*(webhook.post(event) for event in (others[0], bad, good, *others[1:])))

    assert [status for status, _ in answers] == [200] * 12
    assert sorted(await ledger.outcomes()) == ["credited", "failed", *["unmatched"] * 10]
    assert await ledger.credits() == [500]
    assert "event_unreadable" in await ledger.told()


async def test_an_event_that_cannot_be_stored_is_answered_with_500_and_counted(
    webhook: Webhook, ledger: Ledger
) -> None:
    await ledger.pool.execute("REVOKE INSERT ON events FROM webhook")
    before = counted("not_kept")

    async with webhook.session.post(f"{webhook.address}/bmc-webhook", data=GOOD, headers=sign(GOOD)) as answer:
        assert answer.status == 500

    assert counted("not_kept") == before + 1


SENDERS, EVENTS, USERS = 32, 2000, 50


async def test_a_crowd_of_senders_with_repeats_and_disorder_credits_each_charge_once(
    webhook: Webhook, ledger: Ledger, role_url: Callable[[str], str]
) -> None:
    """
    Each charge is credited once, even if its event is repeated and two replicas of the webhook receive the deliveries.

    32 senders post 2,000 shuffled deliveries to two replicas. 30 % of the deliveries are repeats.
    """
    chance = random.Random(20261123)
    codes = await _open_payments(ledger, chance)
    events = [
        a_payment(support_note=chance.choice(codes), amount=chance.randint(1, 50)) for _ in range(EVENTS * 7 // 10)
    ]
    deliveries = events + chance.choices(events, k=EVENTS - len(events))
    chance.shuffle(deliveries)

    async with open_pool(role_url("webhook")) as pool, serve_webhook(pool) as replica:
        answers = await _send(deliveries, [webhook, replica])

    assert answers == [200] * EVENTS
    assert sorted(await ledger.credits()) == sorted(event["data"]["amount"] * 100 for event in events)
    assert await ledger.drift() == 0
    assert len(await ledger.outcomes()) == len(events)
    assert await ledger.pool.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0


async def _open_payments(ledger: Ledger, chance: random.Random) -> list[str]:
    return [await ledger.open(issue_code(chance), user=ANNA + number % USERS) for number in range(400)]


async def _send(deliveries: list[dict[str, Any]], webhooks: list[Webhook]) -> list[int]:
    queue = list(enumerate(deliveries))

    async def sender() -> list[int]:
        statuses = []
        while queue:
            number, event = queue.pop()
            status, _ = await webhooks[number % len(webhooks)].post(event)
            statuses.append(status)
        return statuses

    return [status for statuses in await asyncio.gather(*(sender() for _ in range(SENDERS))) for status in statuses]


async def test_a_bad_signature_is_refused_without_waiting_for_the_database(role_url: Callable[[str], str]) -> None:
    nowhere = role_url("webhook").replace("127.0.0.1", "127.0.0.255")

    async with open_pool(nowhere) as pool, serve_webhook(pool) as webhook:
        status, _ = await webhook.post(GOOD, headers={})

    assert status == 401


def exported(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None, name
    return value


TIMED = ("ledger_payment_pick_to_paid_seconds_count", "ledger_webhook_to_credit_seconds_count")


async def test_a_committed_match_is_counted(webhook: Webhook, ledger: Ledger) -> None:
    await ledger.open(CODE, minutes_ago=10)
    before = [exported("ledger_webhook_matches_total", method="code"), *map(exported, TIMED)]

    await webhook.settle(a_payment(support_note=CODE), a_payment(support_note="nobody"))

    after = [exported("ledger_webhook_matches_total", method="code"), *map(exported, TIMED)]
    assert after == [count + 1 for count in before]


async def test_failures_in_a_row_are_counted_until_a_delivery_is_accepted(webhook: Webhook, ledger: Ledger) -> None:
    await webhook.post(GOOD, secret=b"another")
    await webhook.post(GOOD, headers={})
    await webhook.post(GOOD, secret=b"another")
    failed = exported("ledger_webhook_failed_streak")

    await webhook.post(GOOD)

    assert failed >= 2
    assert exported("ledger_webhook_failed_streak") == 0


async def test_operators_are_told_once_of_a_burst_of_signature_failures(webhook: Webhook, ledger: Ledger) -> None:
    for failures in (1, 2, 3):
        await webhook.post(GOOD, secret=b"another")
        await until_counted(ledger, failures)

    assert await ledger.told() == ["signature_failures"]
    assert await ledger.outcomes() == []


async def test_an_unsigned_request_is_not_reported_to_operators(webhook: Webhook, ledger: Ledger) -> None:
    await webhook.post(GOOD, headers={})
    await webhook.post(GOOD, secret=b"another")
    await until_counted(ledger, 1)

    assert await ledger.pool.fetchval("SELECT sum(failures) FROM signature_failures") == 1


async def until_counted(ledger: Ledger, failures: int) -> None:
    """Wait until the database contains *failures* failed signatures. The service writes them in batches, so they appear late."""
    async with asyncio.timeout(10):
        while await ledger.pool.fetchval("SELECT sum(failures) FROM signature_failures") != failures:
            pass


async def test_the_secret_that_verified_an_event_is_recorded(webhook: Webhook, ledger: Ledger) -> None:
    await webhook.post(a_payment(), secret=b"an-older-secret")
    await webhook.post(a_payment())

    rows = await ledger.pool.fetch("SELECT verified_by FROM events ORDER BY event_no")
    assert [row["verified_by"] for row in rows] == [1, 2]


async def test_the_log_of_a_payment_has_ids_but_no_texts(
    webhook: Webhook, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    await ledger.open(CODE)
    words: dict[str, Any] = {"supporter_id": 7, "supporter_name": "Anna", "supporter_email": "anna@example.org"}

    await webhook.settle(
        a_payment(support_note=f"for my cat {CODE}", **words), a_payment(support_note="for my dog", **words)
    )

    told = capsys.readouterr().out
    settled = [line for line in told.splitlines() if "event settled" in line]
    assert len(settled) == 2
    assert "credits=500" in settled[0]
    assert f"payment_id={CODE}" in settled[0]
    assert f"completed=['{CODE}']" in settled[0]
    assert "code: no_code" in settled[1]
    assert not [word for word in ("Anna", "anna@", "cat", "dog") if word in told]
