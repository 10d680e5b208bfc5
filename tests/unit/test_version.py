"""The library, its metrics, the image labels, the changelog and the newest release's test data state the same version."""

import re
import tomllib

from prometheus_client import REGISTRY

from coffee_ledger import __version__
from coffee_ledger.runtime.process_metrics import export_process_metrics
from coffee_ledger.store.database import SCHEMA_VERSION, open_pool
from tests.files import DATA, ROOT


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_wheel_has_the_version_of_the_library() -> None:
    setuptools = tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]

    assert setuptools["dynamic"]["version"] == {"attr": "coffee_ledger.__version__"}


def test_the_image_is_labelled_with_the_version() -> None:
    assert f'org.opencontainers.image.version="{__version__}"' in read("Dockerfile")


def test_the_newest_release_in_the_changelog_is_this_version() -> None:
    headings = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)

    assert headings[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(__version__)} – \d{{4}}-\d\d-\d\d", headings[1])


def test_the_version_has_its_snapshot() -> None:
    assert {file.name for file in (DATA / "releases" / __version__).iterdir()} == {
        "database.dump",
        "release.json",
        "schema.sql.gz",
    }


async def test_the_metrics_of_every_process_name_the_version() -> None:
    async with (
        open_pool("postgresql://nobody@127.0.0.1:9/nowhere") as pool,
        export_process_metrics(pool, revision="abc"),
    ):
        [family] = [one for one in REGISTRY.collect() if one.name == "ledger_build_info"]

    [sample] = [one for one in family.samples if one.labels["revision"] == "abc"]
    assert (sample.labels["version"], sample.labels["schema_version"]) == (__version__, str(SCHEMA_VERSION))
