"""The service `config-files` copies the configuration files of the image into a volume, where every Unix user may read them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.config_files import copy_files
from services.links import Links


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "rules").mkdir(parents=True)
    (folder / "prometheus.yml").write_text("scrape: all")
    (folder / "rules" / "alerts.yml").write_text("alerts")
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


@pytest.fixture(params=[0o022, 0o027, 0o077], ids=["022", "027", "077"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def contents(folder: Path) -> dict[str, str | None]:
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.usefixtures("umask")
def test_every_user_may_read_the_copies_under_any_umask(source: Path, target: Path) -> None:
    copy_files(source, target, Links())

    assert contents(target) == contents(source)
    assert {stat.S_IMODE(path.stat().st_mode) for path in target.rglob("*")} == {0o755}


def test_copies_have_the_configured_links(source: Path, target: Path) -> None:
    (source / "rules" / "alerts.yml").write_text("  runbook_url: runbook.md#down\n  dashboard_url: /d/ledger-bot\n")

    copy_files(source, target, Links(runbook="https://example.org/help"))

    assert (target / "rules" / "alerts.yml").read_text() == "  runbook_url: https://example.org/help#down\n"


def test_a_changed_file_is_replaced_and_a_deleted_one_is_removed(source: Path, target: Path) -> None:
    copy_files(source, target, Links())
    (source / "prometheus.yml").write_text("scrape: some")
    (source / "rules" / "alerts.yml").unlink()
    (source / "rules").rmdir()

    copy_files(source, target, Links())

    assert contents(target) == {"prometheus.yml": "scrape: some"}


def test_an_unchanged_file_is_not_written_again(source: Path, target: Path) -> None:
    copy_files(source, target, Links())
    before = (target / "prometheus.yml").stat()

    copy_files(source, target, Links())

    after = (target / "prometheus.yml").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_half_written_file_of_an_interrupted_run_is_removed(source: Path, target: Path) -> None:
    (target / ".prometheus.yml.new").write_text("scr")

    copy_files(source, target, Links())

    assert contents(target) == contents(source)
