"""Check that links and messages name only existing headings of the documents."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.files import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("sandbox/*.md")])


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub generates from the headings of a document."""
    prose = re.sub("```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {anchor_of(heading) for heading in headings}


def anchor_of(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_heading_works(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", document.read_text(encoding="utf-8"))

    missing = [
        f"{path}#{anchor}"
        for path, anchor in links
        if anchor not in anchors((document.parent / path) if path else document)
    ]

    assert missing == []


def texts_of_the_product() -> str:
    parts = ("coffee_ledger", "services", "db", "alertmanager", "proxy", "monitoring", "tools", "compose.yaml")
    listed = subprocess.run(
        ["git", "ls-files", *parts], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return "\n".join((ROOT / name).read_text(encoding="utf-8") for name in listed.stdout.splitlines())


def test_messages_and_comments_name_only_existing_documents_and_headings() -> None:
    texts = texts_of_the_product()
    files = set(re.findall(r"docs/[a-z-]+\.md", texts))
    headings = [
        *re.findall(r"(docs/[a-z-]+\.md)#([a-z-]+)", texts),
        *((file, anchor_of(name)) for file, name in re.findall(r"(docs/[a-z-]+\.md), section ([\w ]+)", texts)),
    ]

    assert [file for file in files if not (ROOT / file).exists()] == []
    assert len(headings) >= 7
    assert [one for one in headings if one[1] not in anchors(ROOT / one[0])] == []
