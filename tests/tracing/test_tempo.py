"""
With the project's configuration, Tempo stores the spans that it receives.

If there is no image of Tempo on this machine, the tests check only the configuration.
"""

import asyncio
import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.e2e.people import BuyMeACoffee
from tests.e2e.stack import Stack, await_that
from tests.files import ROOT
from tests.tracing.test_one_trace import LAST, join, kept_parent, pay

IMAGE = "grafana/tempo:3.0.3"
SOURCES = ROOT / "grafana" / "provisioning" / "datasources" / "datasources.yaml"


def as_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def uids(content: object) -> set[str]:
    """Return every `datasourceUid` at any depth of *content*."""
    if isinstance(content, list):
        return {uid for one in content for uid in uids(one)}
    if not isinstance(content, dict):
        return set()
    here = {str(value) for key, value in content.items() if key == "datasourceUid"}
    return here | {uid for value in content.values() for uid in uids(value)}


def test_the_links_between_data_sources_name_existing_ones() -> None:
    sources = {one["uid"]: one for one in as_yaml(SOURCES)["datasources"]}

    assert uids(sources["prometheus"]) == {"tempo"}
    assert uids(sources["tempo"]) == {"prometheus"}
    assert sources["tempo"]["url"] == "http://tempo:3200"


def test_tempo_is_configured_for_version_3() -> None:
    """
    Tempo 3 does not start if the configuration has a section that only version 2 knows.

    The retention limits the use of the disk. Tempo's scheduler and its worker each read their own retention, so both must be set.
    """
    config = as_yaml(ROOT / "tempo" / "tempo.yaml")

    assert not config.keys() & {"ingester", "ingester_client", "compactor", "metrics_generator_client"}
    found = config["backend_scheduler"]["provider"]["compaction"]["compaction"]["block_retention"]
    done = config["backend_worker"]["compaction"]["block_retention"]
    assert found == done == "168h"


@pytest.mark.skipif(
    bool(subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode),
    reason=f"the image {IMAGE} is missing",
)
async def test_tempo_returns_the_trace_of_a_payment(
    stack: Stack, session: aiohttp.ClientSession, bmc: BuyMeACoffee
) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://tempo:4318"}
    up = ("up", "--detach", "--wait", "tempo", "webhook", "bot", "proxy")
    await asyncio.to_thread(stack.compose, *up, **settings)
    anna = await join(session, stack)

    await pay(bmc, anna)

    trace_id = kept_parent(stack, anna).split("-")[1]
    address = f"http://{stack.address_of('tempo', 'edge')}:3200/api/traces/{trace_id}"
    await asyncio.to_thread(await_that, lambda: LAST in read_or_nothing(address))


def read_or_nothing(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.dumps(json.load(answer))
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return ""
