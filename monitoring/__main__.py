from pathlib import Path

from monitoring.dashboards.boards import BOARDS
from monitoring.dashboards.grafana import write_board
from monitoring.rules import write_rules

ROOT = Path(__file__).parent.parent


def written_files() -> dict[Path, str]:
    """Return the content of each generated file. The keys are the paths of the files."""
    rules = {ROOT / "prometheus" / "rules" / name: content for name, content in write_rules().items()}
    dashboards = {ROOT / "grafana" / "dashboards" / f"{board.uid}.json": write_board(board) for board in BOARDS}
    return rules | dashboards


if __name__ == "__main__":
    for path, content in written_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        print(path.relative_to(ROOT))
