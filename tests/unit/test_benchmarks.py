"""
The benchmark measures the webhook and the programs in benchmarks/peers under equal conditions.

It counts each answer, and shows only figures that it measured.
"""

import asyncio
import hashlib
import hmac
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from benchmarks.__main__ import divide
from benchmarks.contest import Contender, check_round
from benchmarks.document import BEGIN, END, write_document
from benchmarks.figures import FIGURES, NOT_MEASURED, Figure, Measured, table_of
from benchmarks.load import CALLERS, LoadError, Throughput, p99, send_at_rate
from benchmarks.machine import burning, read_service_cpu
from benchmarks.payments import Payers, write_deliveries
from benchmarks.picture import draw
from tests.files import ROOT

WEBHOOK = Contender("webhook", "webhook")
LIMITS = (
    "mem_limit",
    "memswap_limit",
    "cpus",
    "pids_limit",
    "init",
    "read_only",
    "cap_drop",
    "security_opt",
    "logging",
    "tmpfs",
)


def services_of(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))["services"]


@pytest.mark.parametrize("contender", ["webhook", "webhook-large", "webhook-crowded", "ceiling", "naive", "django"])
def test_each_contender_has_the_limits_and_the_log_driver_of_the_webhook_in_production(contender: str) -> None:
    production, measured = services_of("compose.yaml")["webhook"], services_of("benchmarks/compose.yaml")[contender]

    assert [measured[limit] for limit in LIMITS] == [production[limit] for limit in LIMITS]


def test_the_database_has_the_image_the_limits_and_the_settings_of_production() -> None:
    production, measured = services_of("compose.yaml")["db"], services_of("benchmarks/compose.yaml")["db"]

    alike = ("image", "command", "mem_limit", "memswap_limit", "cpus", "shm_size")
    assert [measured[name] for name in alike] == [production[name] for name in alike]


def test_the_measured_webhook_has_the_health_check_of_production() -> None:
    production, measured = services_of("compose.yaml")["webhook"], services_of("benchmarks/compose.yaml")["webhook"]

    assert measured["healthcheck"] == production["healthcheck"]


def test_each_delivery_is_signed_and_has_its_own_code_and_number() -> None:
    deliveries = Payers("a-secret").deliveries(500)

    events = [json.loads(one.body) for one in deliveries]
    assert len({event["event_id"] for event in events}) == 500
    assert len({one.code for one in deliveries}) == 500
    assert [event["data"]["amount"] for event in events] == [one.amount for one in deliveries]
    for one in deliveries:
        assert one.signature == hmac.new(b"a-secret", one.body, hashlib.sha256).hexdigest()


def test_wrk_gets_one_line_for_each_delivery(tmp_path: Path) -> None:
    [one] = deliveries = Payers("a-secret").deliveries(1)

    write_deliveries(tmp_path / "deliveries", deliveries)

    assert (tmp_path / "deliveries").read_bytes() == one.signature.encode() + b" " + one.body + b"\n"
    assert len(one.signature) == 64


@pytest.mark.parametrize("stored", [100, 100 + CALLERS])
def test_a_round_counts_if_each_answered_payment_is_stored(stored: int) -> None:
    check_round(WEBHOOK, Throughput(100, 1.0, 1.0, 1.0), delivered=100, stored=stored)


@pytest.mark.parametrize("stored", [99, 100 + CALLERS + 1])
def test_a_round_is_refused_if_the_answers_differ_from_the_database(stored: int) -> None:
    with pytest.raises(LoadError, match="stored"):
        check_round(WEBHOOK, Throughput(100, 1.0, 1.0, 1.0), delivered=200, stored=stored)


def test_a_ratio_needs_a_contender_that_stores_payments() -> None:
    with pytest.raises(LoadError, match="naive stored no payment"):
        divide({"webhook": 100.0, "naive": 0.0}, WEBHOOK, Contender("naive", "naive"))


def test_a_ratio_says_from_which_rates_it_comes() -> None:
    found = divide({"webhook": 2500.0, "naive": 1000.0}, WEBHOOK, Contender("naive", "naive"))

    assert found == Measured(2.5, "2,500/s ÷ 1,000/s")


def test_a_round_is_refused_if_payments_were_sent_twice() -> None:
    with pytest.raises(LoadError, match="only 99"):
        check_round(WEBHOOK, Throughput(100, 1.0, 1.0, 1.0), delivered=99, stored=100)


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def test_a_delivery_begins_at_its_time_although_no_earlier_one_was_answered() -> None:
    all_arrived = asyncio.Barrier(3)

    async def answer(request: web.Request) -> web.Response:
        await all_arrived.wait()
        return web.Response()

    async with serving(answer) as url:
        first, second, third = await send_at_rate(url, Payers("a-secret").deliveries(3), per_second=1000)

    assert second.intended_at - first.intended_at == pytest.approx(0.001, abs=1e-4)
    assert third.intended_at - second.intended_at == pytest.approx(0.001, abs=1e-4)
    assert min(one.answered_at for one in (first, second, third)) > third.intended_at


async def test_a_refused_delivery_ends_the_measurement() -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=503)

    async with serving(refuse) as url:
        with pytest.raises(ExceptionGroup) as failed:
            await send_at_rate(url, Payers("a-secret").deliveries(1), per_second=100)

    assert [str(error).partition(" answered ")[2] for error in failed.value.exceptions] == ["503: "]


def test_the_99th_percentile_is_below_the_slowest_of_200() -> None:
    assert p99([1.0] * 199 + [100.0]) < 100


def test_burners_use_processors_and_end_with_their_context() -> None:
    with burning(30) as burners:
        until_one_works(burners)

    assert [burner.returncode for burner in burners] == [-9, -9]


def until_one_works(burners: list["subprocess.Popen[bytes]"]) -> None:
    """Wait until one of the processes uses processor time. Poll, because no event reports the use of processor time."""
    while not any(read_service_cpu(burner.pid) for burner in burners):
        assert all(burner.poll() is None for burner in burners)


@pytest.mark.parametrize(("value", "is_reached"), [(2.5, True), (2.51, False)])
def test_a_time_reaches_its_bound_from_below(value: float, is_reached: bool) -> None:
    assert Figure("F", "a time", "ms", 2.5, 2).is_reached(value) is is_reached


@pytest.mark.parametrize(("value", "is_reached"), [(2.0, True), (1.99, False)])
def test_a_ratio_reaches_its_bound_from_above(value: float, is_reached: bool) -> None:
    assert Figure("F", "a ratio", "", 2, 2.5, lower_is_better=False).is_reached(value) is is_reached


def test_the_table_says_which_figures_were_not_measured() -> None:
    lines = table_of({"F1": Measured(0.0627, "1,170/s ÷ 18,650/s")}).splitlines()

    assert lines[1].split()[-1] == "18,650/s"
    assert "0.06" in lines[1]
    assert [NOT_MEASURED in line for line in lines[1:]] == [figure.number != "F1" for figure in FIGURES]


def test_a_run_replaces_only_the_marked_part_of_the_document(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"# Speed\n\n{BEGIN}\n\nAn older run.\n\n{END}\n\nThe rest.\n", encoding="utf-8")

    write_document(document, {"F1": Measured(0.0627, "1,170/s ÷ 18,650/s")}, "A day, a machine")

    text = document.read_text(encoding="utf-8")
    assert text.startswith(f"# Speed\n\n{BEGIN}\n\nA day, a machine.\n\n| | figure |")
    assert text.endswith(f"{END}\n\nThe rest.\n")
    assert [line for line in text.splitlines() if line.startswith("| F")] == [
        "| F1 | payments/s ÷ bare aiohttp without a database | 0.06 | 0.14 | 0.20 | 1,170/s ÷ 18,650/s |"
    ]


def test_the_document_has_a_place_for_the_figures() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")

    assert text.count(BEGIN) == text.count(END) == 1
    assert text.index(BEGIN) < text.index(END)


def test_the_picture_has_only_what_was_measured(tmp_path: Path) -> None:
    draw({"F1": Measured(0.06)}, {"webhook": 1170.0}, "a day, a machine", tmp_path / "bench.svg")

    drawn = (tmp_path / "bench.svg").read_text(encoding="utf-8")
    assert all(word in drawn for word in ("F1", "1,170/s", "a day, a machine"))
    assert not any(word in drawn for word in ("F2", "F12", "naive"))
