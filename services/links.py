"""
Complete the links in Prometheus' rules and Grafana's dashboards with the operator's addresses.

In the files of the Docker image, a link is only a heading of the runbook (`runbook.md#outboxstuck`) or the path of a dashboard
(`/d/ledger-bot`). Only the operator knows the addresses of the published runbook and of Grafana. If the operator sets no
address, the links that need this address are removed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RUNBOOK = "runbook.md"

ADDRESS = re.compile(r"https?://[A-Za-z0-9:/._~?=&%@+,-]+")
"""
Matches an address without `#`, because `#` and a heading of the runbook are appended to the address.

The pattern also excludes characters that would end a value in YAML or HTML.
"""

ANNOTATION = re.compile(
    rf"^(?P<begin> *(?P<name>runbook_url|dashboard_url): )(?:{re.escape(RUNBOOK)})?(?P<rest>\S+)\n", re.MULTILINE
)


@dataclass(frozen=True)
class Links:
    """The addresses of the runbook and of Grafana, without a slash at the end. If an address is empty, its links are removed."""

    runbook: str = ""
    dashboards: str = ""


def read_links(environ: Mapping[str, str]) -> Links:
    return Links(
        *(environ.get(name, "").strip().rstrip("/") for name in ("ALERTS_RUNBOOK_URL", "ALERTS_DASHBOARD_URL"))
    )


def find_link_problems(environ: Mapping[str, str]) -> list[str]:
    """Return one line of text for each malformed address."""
    links = read_links(environ)
    addresses = {"ALERTS_RUNBOOK_URL": links.runbook, "ALERTS_DASHBOARD_URL": links.dashboards}
    return [
        f"{name} must be an address such as https://example.org/page, without #: see .env.example"
        for name, address in addresses.items()
        if address and not ADDRESS.fullmatch(address)
    ]


def set_links(content: str, links: Links) -> str:
    """
    Complete each link in the text of a rules file or a dashboard, or remove the link if its address is empty.

    If the text contains no links, return it unchanged.
    """
    if f'"{RUNBOOK}#' in content:
        return json.dumps(_set_panel_links(json.loads(content), links.runbook), indent=2, ensure_ascii=False) + "\n"
    addresses = {"runbook_url": links.runbook, "dashboard_url": links.dashboards}

    def complete(line: re.Match[str]) -> str:
        address = addresses[line["name"]]
        return f"{line['begin']}{address}{line['rest']}\n" if address else ""

    return ANNOTATION.sub(complete, content)


def _set_panel_links(part: Any, runbook: str) -> Any:
    if isinstance(part, dict):
        return {name: _set_panel_links(value, runbook) for name, value in part.items()}
    if isinstance(part, list):
        return [_set_panel_links(one, runbook) for one in part if runbook or not _leads_to_runbook(one)]
    return runbook + part.removeprefix(RUNBOOK) if _is_heading(part) else part


def _leads_to_runbook(part: Any) -> bool:
    return isinstance(part, dict) and _is_heading(part.get("url"))


def _is_heading(part: Any) -> bool:
    return isinstance(part, str) and part.startswith(f"{RUNBOOK}#")
