import pytest

from tests.swarm.__main__ import main


@pytest.mark.parametrize("program", [None, "", "no/such/program"])
async def test_a_run_is_skipped_with_a_reason_where_no_lab_is_available(
    program: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    status = await main({} if program is None else {"SWARM_LAB": program})

    assert status == 0
    assert capsys.readouterr().out.startswith("Skipped: there is no lab")
