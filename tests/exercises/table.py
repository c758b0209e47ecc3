"""Print which mistakes each checker names: `python -m tests.exercises.table`."""

import warnings

from tests.exercises.cases import CASES
from tests.exercises.correct import CORRECT
from tests.exercises.test_pairs import PAIRS


def main() -> None:
    warnings.simplefilter("ignore")
    slugs = list(dict.fromkeys(slug for case in CASES.values() for slug in case.mistakes))
    width = max(map(len, slugs))
    heads = [name.split()[0] if name != "batch norm" else "layer" for name in CASES]
    print(" " * width, *heads)
    named = made = 0
    for slug in slugs:
        cells = []
        for head, case in zip(heads, CASES.values(), strict=True):
            if slug in case.mistakes:
                right = case.judge(slug).mistakes == (slug,)
                made, named = made + 1, named + right
                cells.append(("✓" if right else "✗").center(len(head)))
            else:
                cells.append("·".center(len(head)))
        print(f"{slug:<{width}}", *cells)
    alarms = sum(not CASES[name].check(fn) for name, many in CORRECT.items() for fn in many)
    right = sum(map(len, CORRECT.values()))
    pairs = sum(set(CASES[name].judge(a, b).mistakes) == {a, b} for name, a, b in PAIRS)
    print(f"\n{named} of {made} single mistakes named, {pairs} of {len(PAIRS)} pairs;")
    print(f"{alarms} false alarms on {right} right solutions")


if __name__ == "__main__":
    main()
