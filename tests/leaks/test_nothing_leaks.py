"""
Send secrets and personal data through every path of the product, then search its logs, metrics, traces and answers for them.

The search leaves out messages in Telegram: an operator's card contains the note, and a user's chat contains the user's own words.
"""

import asyncio
import functools
import json
import re
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
import pytest

from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack, await_that
from tests.integration.bmc import a_payment, a_refund_of, a_subscription, raw, sign
from tests.leaks.hunting import find_leaks, forms
from tests.tracing.stack import Receiver, traced_stack

TOKEN = "7000000001:AAFvVqzCanaryOfTheBotsTokenXyZ-0123"
ALERTS_TOKEN = "7000000002:AAGwWrzCanaryOfTheAlertsTokenXyZ-45"
"""
The sandbox, which stands in for Telegram, does not know this token and refuses Alertmanager's messages.

Alertmanager then logs a failure, and the log must not contain the token.
"""

SECRET, OLD_SECRET = "canary-of-the-signing-secret-8c1f", "canary-of-the-former-secret-77ab"
API_TOKEN = "eyJhbGciOiJub25lIn0.eyJleHAiOiAxNzAwMDAwMDAwfQ.canary-of-the-api-token-6e27"
"""
The token for Buy Me a Coffee's API.

It has the form of an expired JWT, so that the janitor also logs the warning about the expiry. The sandbox does not check the
expiry.
"""

WATCHDOG_URL = "http://sandbox:8090/canary-of-the-watchdogs-address-19"

NAME, FIRST_NAME, USERNAME = "Kanarka Supporterenko", "Kanarka-First", "kanarka_username"
EMAIL = "kanarka.email+tip@example.org"
NOTE = 'kanarka note "with" <b>words</b> і словами'
FIELD = "kanarka-of-a-field-nobody-knows"
SAID = "kanarka said this to the bot"
CLAIMED_NAME = "Kanarka Claimant"
QUERIED = "kanarka-in-a-query"
PERSONAL = {
    "name": NAME,
    "first name": FIRST_NAME,
    "username": USERNAME,
    "e-mail": EMAIL,
    "note": NOTE,
    "field of the payload": FIELD,
    "words in the chat": SAID,
    "name in a claim": CLAIMED_NAME,
    "query": QUERIED,
}

OPERATOR_ID, ANNA_ID = 1_000_001, 7_000_001
REFUSED = 13.13
SPOOLED = "pi_paid_without_a_database"
WATCHERS = ("prometheus", "postgres-exporter", "alertmanager")
VOLUMES = {
    "db": "password_*",
    "migrate": "password_*",
    "webhook": "probe_secret database_url",
    "bot": "database_url",
    "janitor": "bmc_api_token database_url",
    "postgres-exporter": "password",
    "alertmanager": "alerts_bot_token alerts_watchdog_url",
}
"""Maps each service to the files to read from its volume of secrets, mounted at /run/secrets: names separated by spaces."""

METRICS = {"webhook": (9000, "edge"), "bot": (9000, "edge"), "janitor": (9000, "edge"), "proxy": (2021, "edge"),
           "postgres-exporter": (9187, "db"), "alertmanager": (9093, "edge"), "prometheus": (9090, "edge")}  # fmt: skip
SAYING = ("webhook", "bot", "janitor", "proxy", "db", "migrate", "config-check", "config-files", "secrets", *WATCHERS)
"""The services whose logs are searched for leaks. The log of `sandbox`, which stands in for outside systems, is left out."""


@dataclass
class Visitor:
    """An HTTP client outside the product. It keeps all answers, so that they can be searched."""

    session: aiohttp.ClientSession
    origin: str
    answers: list[str] = field(default_factory=list)

    async def ask(self, path: str, *, method: str = "GET", **how: Any) -> int:
        async with self.session.request(method, self.origin + path, ssl=False, **how) as answer:
            body = await answer.content.read(64 * 1024)
            self.answers.append(f"{answer.status} {dict(answer.headers)} {body.decode('utf-8', 'replace')}")
            return answer.status

    async def deliver(self, body: bytes, *, secret: str = SECRET, query: str = "", **headers: str) -> int:
        signed = sign(body, secret.encode()) | headers
        return await self.ask(f"/bmc-webhook{query}", method="POST", data=body, headers=signed)


@dataclass(frozen=True)
class Said:
    """The texts that the product wrote, by source, and the secrets to search for in these texts."""

    texts: Mapping[str, str]
    secrets: Mapping[str, str]
    heard: str
    """The text of the bot's messages to Anna, the user who gets the credits."""


def payment(note: str = NOTE, **data: Any) -> bytes:
    """Return a payment with personal data in every field that can hold it."""
    return raw(event(note, **data))


def event(note: str = NOTE, **data: Any) -> dict[str, Any]:
    personal = {"supporter_name": NAME, "supporter_email": EMAIL, "support_note": note, "unheard_of": FIELD}
    return a_payment(**({"supporter_id": 4711} | personal | data))


async def drive(stack: Stack) -> list[str]:
    """Use every path of the product, and return all answers that it gave to an outside HTTP client."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=90)) as session:
        bmc = BuyMeACoffee(session, stack.sandbox_url, stack.webhook_url)
        visitor = Visitor(session, f"https://localhost:{stack.https_port}")
        operator = await Person.join(session, stack.sandbox_url, OPERATOR_ID, "Olha", "en")
        anna = await Person.join(session, stack.sandbox_url, ANNA_ID, FIRST_NAME, "en")
        await session.post(
            f"{stack.sandbox_url}/telegram/users", json={"id": ANNA_ID, "first_name": FIRST_NAME, "username": USERNAME}
        )
        await raise_an_alert(session, stack)
        await deliver_all_kinds(visitor, anna)
        await knock(visitor)
        await use_the_page(session, stack, visitor)
        await pay_without_webhooks(session, stack, bmc, anna)
        await talk(anna, operator)
        await break_telegram(session, stack, bmc, visitor, anna)
        await break_the_database(stack, visitor)
        await asyncio.to_thread(stack.compose, "restart", "webhook", "bot", "janitor")
        await asyncio.to_thread(stack.compose, "up", "--detach", "--wait", "webhook", "bot", "janitor")
        await visitor.deliver(payment(f"{NOTE} {await anna.ask_to_pay('5')}"))
        await anna.hear("500")
        await break_the_api(session, stack, bmc, operator)
    return visitor.answers


async def raise_an_alert(session: aiohttp.ClientSession, stack: Stack) -> None:
    address = f"http://{stack.address_of('alertmanager', 'edge')}:9093/api/v2/alerts"
    for severity in ("page", "none"):
        alert = {"labels": {"alertname": "Canary", "severity": severity}}
        async with session.post(address, json=[alert]) as answer:
            answer.raise_for_status()


async def deliver_all_kinds(visitor: Visitor, anna: Person) -> None:
    matched = event(f"{NOTE} {await anna.ask_to_pay('5')}")
    for one in (matched, matched, matched | {"live_mode": True, "attempt": 2}, a_refund_of(matched)):
        assert await visitor.deliver(raw(one)) == 200
    contradicting = {**matched, "data": matched["data"] | {"amount": 9}}
    subscription = a_subscription(supporter_name=NAME, supporter_email=EMAIL, support_note=NOTE, unheard_of=FIELD)
    for body in (
        raw(contradicting),
        raw(subscription),
        payment(),
        payment(amount=-3),
        payment(live_mode=False),
        raw(event() | {"type": "unheard_of.created"}),
        raw(event() | {"data": NOTE}),
        json.dumps({"response": {"supporter_email": EMAIL, "supporter_name": NAME}}).encode(),
        f"{{not JSON {EMAIL} {NOTE}".encode(),
        payment(NOTE + "\0\ud800"),
        payment().replace(b"kanarka", b"kanarka\xff\xfe"),
        payment(OLD_SECRET),
    ):
        assert await visitor.deliver(body) == 200


async def knock(visitor: Visitor) -> None:
    """Send requests that are not authorized, or that contain unexpected data."""
    assert await visitor.deliver(payment(), query=f"?secret={SECRET}&q={QUERIED}") == 200
    assert await visitor.deliver(payment(), secret=f"not {SECRET}") == 401
    assert await visitor.deliver(payment(), **{"x-signature-sha256": SECRET}) == 401
    await visitor.ask("/bmc-webhook", method="POST", data=payment())
    await visitor.deliver(payment(NOTE * 20_000))
    await visitor.ask(
        "/bmc-webhook",
        method="POST",
        data=EMAIL.encode(),
        headers={"x-probe": SECRET, "traceparent": NAME.replace(" ", "-")},
    )
    for path in (
        "/",
        "/bmc-webhook",
        "/app/",
        "/api/offer",
        "/api/state",
        "/telegram-webhook",
        f"/bot{TOKEN}/sendMessage",
        f"/{QUERIED}-path"[:1],
    ):
        query = f"?secret={SECRET}&token={quote(TOKEN)}&email={quote(EMAIL)}&q={QUERIED}"
        headers = {
            "X-Secret": SECRET,
            "Cookie": f"session={QUERIED}",
            "Referer": f"https://x/?{QUERIED}",
            "User-Agent": QUERIED,
        }
        await visitor.ask(path + query, headers=headers)
    await visitor.ask(
        "/telegram-webhook", method="POST", json={"message": SAID}, headers={"X-Telegram-Bot-Api-Secret-Token": TOKEN}
    )


async def use_the_page(session: aiohttp.ClientSession, stack: Stack, visitor: Visitor) -> None:
    for launch in ({}, {"age_seconds": 3 * 86_400}, {"forged": True}):
        path = f"{stack.sandbox_url}/telegram/chats/{ANNA_ID}/open"
        async with session.post(path, json={"menu": True} | launch) as answer:
            fragment = urlsplit((await answer.json())["url"]).fragment
        init_data = parse_qs(fragment)["tgWebAppData"][0]
        PRESENTED.append(init_data)
        headers = {"Authorization": f"tma {init_data}"}
        for method, path, body in (
            ("GET", "/api/state", None),
            ("POST", "/api/payments", {"amount": "7", "currency": "USD", "note": NOTE}),
            ("POST", "/api/payments", {"amount": QUERIED, "currency": EMAIL}),
            ("POST", "/api/payments", NOTE),
            ("POST", "/api/payments/ZZZZZZZZ/cancel", None),
        ):
            await visitor.ask(path, method=method, headers=headers, json=body)


async def pay_without_webhooks(session: aiohttp.ClientSession, stack: Stack, bmc: BuyMeACoffee, anna: Person) -> None:
    """
    Make payments that no webhook reports, so that the janitor has to read them from Buy Me a Coffee's lists.

    Anna's claim in `talk` makes the janitor settle the two payments of 5 USD. The janitor processes the other payments after
    the outage in `break_the_database`. Then the database refuses one amount, and one row cannot be read.
    """
    orders: tuple[dict[str, str], ...] = (
        {"amount": "5", "note": f"{NOTE} {await anna.ask_to_pay('5')}"},
        {"amount": "5"},
        {"amount": str(REFUSED)},
        {"amount": "4"},
        {"amount": "3", "kind": "membership"},
        {"amount": "6", "kind": "extra_purchase", "answer": NOTE},
    )
    await bmc.misbehave("forgotten", times=len(orders))
    for order in orders:
        paid = await bmc.check_out(**({"name": NAME, "email": EMAIL, "note": NOTE} | order))
        fields = {"unheard_of": FIELD, "payer_name": NAME, "payer_email": EMAIL, "order_payload": NOTE}
        if order["amount"] == "4":
            # Put the note in place of the amount, so that the janitor cannot read this row.
            fields["support_coffee_price"] = NOTE
        ids = {name: paid[name] for name in ("transaction_id", "psp_id") if name in paid}
        async with session.post(f"{stack.sandbox_url}/bmc/api/rows", json={**ids, "fields": fields}) as answer:
            answer.raise_for_status()


PRESENTED: list[str] = []
"""The Telegram init data that the test sent to the product. It authenticates a user for a day, so it counts as a secret."""


async def talk(anna: Person, operator: Person) -> None:
    for words in (SAID, f"/pay {SAID}", f"/start {QUERIED}"):
        await anna.say(words)
        await anna.hear()
    await anna.say("/claim")
    await anna.hear("Did you pay this one?")
    # Wait for the text of each question, because notifications about earlier payments may arrive between the questions.
    for answer, question in (
        ("Another payment, or another day", "When did you pay?"),
        ("Today", "How much did you pay?"),
        ("$5", "Under which name did you pay?"),
    ):
        await anna.press(answer)
        await anna.hear(question)
    await anna.say(CLAIMED_NAME)
    # The claim makes the janitor read the list of payments. There, the janitor finds the payment with Anna's code.
    await anna.hear("500")
    for words in (
        f"/find {EMAIL}",
        f"/find @{USERNAME}",
        f"/find {SECRET}",
        "/unmatched",
        "/claims",
        "/failed",
        f"/credit @{USERNAME} +5 {SAID}",
        f"/undo 1 {SAID}",
        "/doctor",
        "/replay 1",
        "/export 2026-11",
        "/reconcile",
    ):
        await operator.say(words)
        await operator.hear()


async def break_telegram(
    session: aiohttp.ClientSession, stack: Stack, bmc: BuyMeACoffee, visitor: Visitor, anna: Person
) -> None:
    """
    Make calls to Telegram fail in several ways.

    The URL of a call contains the token, and the message in a call can contain the note. So a logged error could leak both.
    """
    for kind in ("too_many_requests", "server_error", "reset", "not_json", "hang"):
        code = await anna.ask_to_pay("5")
        # Count the logged failures before calls begin to fail. A later count could already include the new failures, because the
        # bot may retry an earlier message at any time. Then the test would wait for failures that have already happened.
        failed = failed_calls(stack, kind)
        wish = {"method": "sendMessage", "kind": kind, "times": 2, "retry_after": 1}
        async with session.post(f"{stack.sandbox_url}/telegram/misbehave", json=wish) as answer:
            answer.raise_for_status()
        await visitor.deliver(payment(f"{NOTE} {code}"))
        await visitor.deliver(payment())
        await asyncio.to_thread(await_that, functools.partial(failed_more, stack, kind, failed))
        await bmc.behave()
        # Wait until the message is sent. Each failed attempt makes the pause before the next attempt longer, so the next kind
        # of failure would delay the message even more.
        await anna.hear("500")
    await block_the_bot(session, stack, visitor, anna)


SAID_OF = {
    "too_many_requests": "TelegramRetryAfter",
    "server_error": "TelegramServerError",
    "reset": "TelegramNetworkError",
}
"""
Maps a kind of failure to the exception that the bot's log names.

For a kind that is missing here, `failed_calls` counts the lines about failures of any kind.
"""


def failed_calls(stack: Stack, kind: str) -> int:
    """Count the bot's log lines about failures of *kind*. If *kind* is not in `SAID_OF`, count the lines about any failure."""
    said = SAID_OF.get(kind, 'notification not sent|call to telegram failed, retrying|"outcome": "retry')
    return len(re.findall(said, logs_of(stack, "bot")))


def failed_more(stack: Stack, kind: str, before: int) -> bool:
    return failed_calls(stack, kind) > before


async def block_the_bot(session: aiohttp.ClientSession, stack: Stack, visitor: Visitor, anna: Person) -> None:
    code = await anna.ask_to_pay("5")
    for step in ("block", "unblock"):
        async with session.post(f"{stack.sandbox_url}/telegram/chats/{ANNA_ID}/{step}") as answer:
            answer.raise_for_status()
        if step == "block":
            await visitor.deliver(payment(f"{NOTE} {code}"))
            await asyncio.to_thread(await_that, lambda: '"outcome": "unreachable"' in logs_of(stack, "bot"))


async def break_the_database(stack: Stack, visitor: Visitor) -> None:
    """
    Make the database refuse rows, then stop the database for a while.

    The errors of the database quote the refused rows, so a logged error could leak them.
    """
    for table, condition in (("charges", f"amount <> {REFUSED}"), ("supporters", "supporter_id <> 'refused'")):
        stack.sql(f"ALTER TABLE {table} ADD CONSTRAINT refuses_{table} CHECK ({condition})")
    assert await visitor.deliver(payment(amount=REFUSED)) == 200
    assert await visitor.deliver(payment(supporter_id="refused")) == 200
    assert stack.sql("SELECT count(*) FROM events WHERE outcome = 'failed'") == "2"
    for statement in (
        "SELECT pg_sleep(0.3), $1::text",
        "SELECT $1::text FROM nowhere",
        "SELECT 1 / length(left($1, 0))",
    ):
        as_webhook(stack, statement, f"{EMAIL} {NAME} {NOTE}")
    # Make Postgres log every statement as slow while `migrate` sets the passwords. The log must still not contain a password.
    stack.sql("ALTER ROLE ledger_owner SET log_min_duration_statement = 0")
    stack.compose("up", "--no-deps", "migrate")
    stack.sql("ALTER ROLE ledger_owner RESET log_min_duration_statement")
    await asyncio.to_thread(stack.compose, "stop", "db")
    assert await visitor.deliver(payment(transaction_id=SPOOLED)) == 200
    await asyncio.to_thread(stack.compose, "up", "--detach", "--wait", "db")
    spooled = f"SELECT count(*) FROM charges WHERE transaction_id = '{SPOOLED}'"
    await asyncio.to_thread(await_that, lambda: stack.sql(spooled) == "1")
    assert await visitor.deliver(payment()) == 200
    # After an outage, the janitor settles the payments in BMC's lists without waiting for their webhooks. One of the one-time
    # payments has an amount that the database refuses. The janitor reads the list of one-time payments before the list of
    # subscriptions. So when the log names a row of the subscriptions, the janitor has tried to settle the refused payment.
    await asyncio.to_thread(await_that, lambda: "api:subscriptions:" in logs_of(stack, "janitor"))


async def break_the_api(session: aiohttp.ClientSession, stack: Stack, bmc: BuyMeACoffee, operator: Person) -> None:
    """
    Let the API first reset a connection, and then refuse the token by a redirect to its login page.

    A header of each request contains the token, so a logged error or request could leak it.
    """
    await bmc.misbehave("api_reset")
    await operator.say("/reconcile")
    await operator.see("Buy Me a Coffee does not answer")
    async with session.post(f"{stack.sandbox_url}/bmc/api/token", json={}) as answer:
        answer.raise_for_status()
    await operator.say("/reconcile")
    await operator.see("Buy Me a Coffee refuses the token")


def as_webhook(stack: Stack, statement: str, value: str) -> None:
    """
    Run a slow or wrong statement in the role of the webhook.

    Pass *value* as a parameter and not in the text of the statement, as the webhook does with all values.
    """
    ask = (
        "import asyncio, asyncpg, sys\n"
        "async def main():\n"
        "    db = await asyncpg.connect(open('/run/secrets/database_url').read().strip())\n"
        "    try: await db.fetch(sys.argv[1], sys.argv[2])\n"
        "    except asyncpg.PostgresError: pass\n"
        "asyncio.run(main())\n"
    )
    stack.compose("exec", "-T", "webhook", "python", "-c", ask, statement, value)


def handed_out(stack: Stack) -> dict[str, str]:
    """Read the secret files named in `VOLUMES` from the services. If a file contains a URL, return only the URL's password."""
    found = {}
    for service, names in VOLUMES.items():
        command = f'cd /run/secrets && for name in {names}; do echo "$name $(cat $name)"; done'
        # `migrate` has exited, so its files are read in a new container.
        reach = ("run", "--rm", "--no-deps", "-T") if service == "migrate" else ("exec", "-T")
        for line in stack.compose(*reach, service, "sh", "-c", command).splitlines():
            name, _, secret = line.partition(" ")
            found[f"{service}'s {name}"] = urlsplit(secret).password or secret
    return found


def read_metrics(stack: Stack) -> Iterator[tuple[str, str]]:
    for service, (port, network) in METRICS.items():
        with urllib.request.urlopen(
            f"http://{stack.address_of(service, network)}:{port}/metrics", timeout=30
        ) as answer:
            yield f"metrics of {service}", answer.read().decode()


def read_series(stack: Stack) -> str:
    """Return all series in Prometheus with their labels, including series from before the services restarted."""
    everything = quote('{__name__=~".+"}')
    address = f"http://{stack.address_of('prometheus', 'edge')}:9090/api/v1/series?match[]={everything}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        return str(answer.read().decode())


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[Stack, Receiver, list[str]]]:
    settings = {
        "LOG_LEVEL": "DEBUG",
        "BOT_TOKEN": TOKEN,
        "ALERTS_BOT_TOKEN": ALERTS_TOKEN,
        "ALERTS_WATCHDOG_URL": WATCHDOG_URL,
        "BMC_WEBHOOK_SECRETS": f"{SECRET},{OLD_SECRET}",
        "BMC_API_TOKEN": API_TOKEN,
    }
    with traced_stack(*WATCHERS, **settings) as (stack, receiver):
        containers = containers_of(stack)
        answers = asyncio.run(drive(stack))
        await_that(lambda: "Notify for alerts failed" in logs_of(stack, "alertmanager"), seconds=90)
        assert containers_of(stack) == containers, "containers were replaced, so their logs are lost"
        yield stack, receiver, answers


def containers_of(stack: Stack) -> set[str]:
    return set(stack.compose("ps", "--all", "--quiet", *SAYING).split())


def heard_by(stack: Stack, user: int) -> str:
    with urllib.request.urlopen(f"{stack.sandbox_url}/telegram/chats/{user}", timeout=30) as answer:
        return "\n".join(one["text"] or "" for one in json.load(answer)["messages"] if one["from"] == "bot")


def logs_of(stack: Stack, service: str) -> str:
    return stack.compose("logs", "--no-color", "--no-log-prefix", service)


@pytest.fixture(scope="module")
def said(told: tuple[Stack, Receiver, list[str]]) -> Said:
    stack, receiver, answers = told
    texts = {f"log of {service}": logs_of(stack, service) for service in SAYING}
    texts |= dict(read_metrics(stack))
    texts |= {f"answer {number}": text for number, text in enumerate(answers)}
    texts |= {"series": read_series(stack), "spans": json.dumps(receiver.spans(), ensure_ascii=False)}
    secrets = {
        "bot's token": TOKEN.partition(":")[2],
        "alerts bot's token": ALERTS_TOKEN.partition(":")[2],
        "signing secret": SECRET,
        "former signing secret": OLD_SECRET,
        "API token": API_TOKEN.rpartition(".")[2],
        "watchdog's address": urlsplit(WATCHDOG_URL).path,
        **{f"what page {number} presented": one.partition("hash=")[2] for number, one in enumerate(PRESENTED)},
        **handed_out(stack),
        **PERSONAL,
    }
    return Said(texts, secrets, heard_by(stack, ANNA_ID))


def test_the_log_of_the_database_has_no_password_in_any_form(said: Said) -> None:
    assert "SCRAM-SHA-256" not in said.texts["log of db"]


def test_no_secret_and_no_personal_data_is_leaked(said: Said) -> None:
    leaks = find_leaks(said.secrets, said.texts)

    assert not leaks, "\n".join(f"{leak.what} in the {leak.where}: {leak.around}" for leak in leaks)
    # Each value in PERSONAL contains "kanarka", so this search also finds a value that was cut or changed around this word.
    assert [where for where, text in said.texts.items() if "kanarka" in text.lower()] == []


def test_a_user_learns_nothing_about_the_supporter(said: Said) -> None:
    """Another person may pay with a user's code, so the user must not see the payer's name, e-mail address or note."""
    assert "500 credits" in said.heard
    assert find_leaks({name: PERSONAL[name] for name in ("name", "e-mail", "note")}, {"chat": said.heard}) == []


def test_every_path_was_taken(said: Said) -> None:
    """The search for leaks proves nothing about code that did not run. So check that the logs and spans show every path."""
    webhook, bot, janitor, db = (said.texts[f"log of {name}"] for name in ("webhook", "bot", "janitor", "db"))

    for outcome in (
        "credited",
        "unmatched",
        "refunded",
        "recorded",
        "unreadable",
        "unknown",
        "legacy",
        "test",
        "failed",
    ):
        assert f'"outcome": "{outcome}"' in webhook
    assert "CheckViolation" in webhook
    assert [line["event"] for line in lines_about(SPOOLED, webhook)] == ["event spooled", "event settled"]
    assert said.secrets["janitor's bmc_api_token"] == API_TOKEN
    assert {"credited", "unmatched", "unreadable", "failed"} <= {
        line["outcome"] for line in lines_about("row of the list settled", janitor)
    }
    [refused] = lines_about("row of the list refused", janitor)
    assert "CheckViolation" in json.dumps(refused)
    assert {"unreachable", "token_refused"} <= {line["state"] for line in lines_about("list not read", janitor)}
    assert "API token has expired" in janitor
    assert "refuses_charges" in db
    assert "refuses_supporters" in db
    assert "Notify for alerts failed" in said.texts["log of alertmanager"]
    assert "TelegramRetryAfter" in bot
    assert "TelegramServerError" in bot
    assert "TelegramNetworkError" in bot
    assert '"level": "debug"' in bot
    assert {"POST /bmc-webhook", "settle", "telegram SendMessage"} <= {
        one["name"] for one in json.loads(said.texts["spans"])
    }
    assert len(said.secrets) > len(PERSONAL) + 10
    assert all(len(secret) >= 10 for secret in said.secrets.values())


def lines_about(sought: str, log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if sought in line]


@pytest.mark.parametrize("form", range(3))
def test_a_leak_would_be_found(told: tuple[Stack, Receiver, list[str]], said: Said, form: int) -> None:
    """Given an encoded token in the bot's log, the search for leaks finds it. Each run uses a different encoding."""
    stack, _, _ = told
    planted = sorted(forms(TOKEN.partition(":")[2]), key=len)[-1 - form]
    stack.compose("exec", "-T", "bot", "python", "-c", f"open('/proc/1/fd/1', 'w').write({planted!r} + chr(10))")

    found = find_leaks(said.secrets, {"log of bot": logs_of(stack, "bot")})

    assert "bot's token" in {leak.what for leak in found}
