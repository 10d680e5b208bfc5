"""
Report the results of mutation testing: the score of each module, and the mutants that survived.

Reads the output of `mutmut results --all true`. Exits with 1 if a module's score is below `SCORE_MIN`.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

SCORE_MIN = 0.85
KILLED = frozenset({"killed", "timeout"})
"""The results that count as killed. A timeout counts too, because a mutant may cause an endless loop."""


def main() -> int:
    results = dict(_read_results(sys.stdin))
    counts: defaultdict[str, Counter[bool]] = defaultdict(Counter)
    for mutant, status in results.items():
        counts[_module_of(mutant)][status in KILLED] += 1
    for mutant, status in results.items():
        if status not in KILLED:
            print(f"{status}: {mutant}")
    for module, killed in sorted(counts.items()):
        print(f"{module:20} {killed.total():5} mutants {killed[False]:4} survived   score {_score(killed):.1%}")
    return 0 if counts and min(map(_score, counts.values())) >= SCORE_MIN else 1


def _read_results(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        mutant, _, status = line.strip().partition(": ")
        if status:
            yield mutant, status


def _module_of(mutant: str) -> str:
    """Return the module of a mutant: `coffee_ledger.codes` for `coffee_ledger.codes.x_is_code__mutmut_1`."""
    return mutant.rpartition(".")[0]


def _score(killed: Mapping[bool, int]) -> float:
    return killed[True] / (killed[True] + killed[False])


if __name__ == "__main__":
    sys.exit(main())
