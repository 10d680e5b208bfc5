"""Digests are recorded only for pulled images, and only between the two marker lines of docs/services.md."""

import json
import subprocess
from pathlib import Path

import pytest

from tools import digests

DIGEST = "sha256:" + "0123456789abcdef" * 4
DOCUMENT = f"before\n{digests.BEGIN}\n\nNo digests are recorded yet.\n\n{digests.END}\nafter\n"


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "services.md"
    file.write_text(DOCUMENT, encoding="utf-8")
    monkeypatch.setattr(digests, "DOCUMENT", file)
    return file


def use_engine(monkeypatch: pytest.MonkeyPatch, images: dict[str, list[str]]) -> None:
    """Replace the Docker engine by a fake one that has pulled *images*. The keys are image names, the values are digests."""

    def docker(*words: str, root: Path = digests.ROOT) -> str:
        if words[0] == "compose":
            return "caddy:2.11.7\ncoffee-ledger:demo\ncoffee-ledger-sandbox:demo\n"
        if words[-1] not in images:
            raise subprocess.CalledProcessError(1, words)
        return json.dumps(images[words[-1]])

    monkeypatch.setattr(digests, "_docker", docker)


def every_image() -> dict[str, list[str]]:
    names = ("caddy:2.11.7", "python:3.14.10-slim", "ghcr.io/astral-sh/uv:0.13.9")
    return {name: [f"{name.partition(':')[0]}@{DIGEST}"] for name in names}


def test_digests_of_pulled_images_can_be_recorded_repeatedly(monkeypatch: pytest.MonkeyPatch, document: Path) -> None:
    use_engine(monkeypatch, every_image())

    digests.main()
    once = document.read_text(encoding="utf-8")
    digests.main()

    assert f"| `caddy:2.11.7` | `{DIGEST}` |\n" in once
    assert f"| `python:3.14.10-slim` | `{DIGEST}` |\n" in once
    assert "coffee-ledger" not in once
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert document.read_text(encoding="utf-8") == once


@pytest.mark.parametrize("known", [[], None], ids=["built here", "not there"])
def test_an_image_that_was_not_pulled_is_named_and_the_document_is_unchanged(
    monkeypatch: pytest.MonkeyPatch, document: Path, known: list[str] | None
) -> None:
    images = every_image()
    del images["caddy:2.11.7"]
    use_engine(monkeypatch, images if known is None else images | {"caddy:2.11.7": known})

    with pytest.raises(SystemExit) as ended:
        digests.main()

    assert "caddy:2.11.7" in str(ended.value.code)
    assert document.read_text(encoding="utf-8") == DOCUMENT


def test_the_document_has_a_place_for_the_digests() -> None:
    assert DIGEST in digests.record_digests(digests.DOCUMENT.read_text(encoding="utf-8"), {"caddy:2.11.7": DIGEST})


def test_a_document_without_a_place_for_the_digests_is_refused() -> None:
    with pytest.raises(ValueError, match="has no lines"):
        digests.record_digests("text", {})
