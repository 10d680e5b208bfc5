"""Write the table of a full benchmark run into docs/performance.md."""

from pathlib import Path

from benchmarks.figures import FIGURES, Figure, Measured, Results

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
PICTURE = "![Deliveries per second of the webhook and its peers, and each figure beside its bound and its aim](pictures/bench.svg)"


def write_document(path: Path, results: Results, conditions: str) -> None:
    """Replace the text between `BEGIN` and `END` in *path* by the conditions, the table and the picture of a benchmark run."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    part = "\n\n".join((BEGIN, f"{conditions}.", markdown_of(results), PICTURE, END))
    path.write_text(f"{before}{part}{after}", encoding="utf-8")


def markdown_of(results: Results) -> str:
    rows = [_row(figure, results[figure.number]) for figure in FIGURES if figure.number in results]
    return "\n".join(("| | figure | measured | at least | aim | |", "| --- | --- | --- | --- | --- | --- |", *rows))


def _row(figure: Figure, measured: Measured) -> str:
    cells = (
        figure.number,
        figure.name,
        figure.show(measured.value),
        figure.show(figure.at_least),
        figure.show(figure.aim),
    )
    return f"| {' | '.join((*cells, measured.detail))} |"
