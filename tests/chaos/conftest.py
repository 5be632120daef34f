"""The chaos suite takes minutes to hours, so it runs only when asked: `BUDSTIKKE_CHAOS=20 pytest tests/chaos -s`.

The number is how many faults each scenario meets. At the end one table tells what they did (`var/chaos.txt`, too).
"""

import os
from collections import Counter
from pathlib import Path

import pytest

FAULTS = int(os.environ.get("BUDSTIKKE_CHAOS", "0"))
TABLE = Path(__file__).parent.parent.parent / "var" / "chaos.txt"
COLUMNS = ("faults", "recipients", "lost", "twice", "untold", "unconfirmed", "bounced", "seconds")

if not FAULTS:
    collect_ignore_glob = ["test_*.py"]

ROWS: pytest.StashKey[dict[str, Counter[str]]] = pytest.StashKey()


@pytest.fixture
def rows(request) -> dict[str, Counter[str]]:
    """What each scenario's table row says, by its title."""
    return request.config.stash.setdefault(ROWS, {})


def pytest_terminal_summary(terminalreporter, config) -> None:
    if not (found := config.stash.get(ROWS, {})):
        return
    total = Counter({name: sum(row[name] for row in found.values()) for name in COLUMNS})
    lines = [f"{'scenario':52}" + "".join(f"{name:>12}" for name in COLUMNS)]
    lines += [f"{title:52}" + "".join(f"{row[name]:>12,}" for name in COLUMNS) for title, row in found.items()]
    lines += [f"{'all':52}" + "".join(f"{total[name]:>12,}" for name in COLUMNS)]
    kinds = Counter[str]()
    for row in found.values():
        kinds.update({name.removeprefix("fault: "): count for name, count in row.items() if name.startswith("fault: ")})
    lines += ["", "faults: " + ", ".join(f"{count} {name}" for name, count in kinds.most_common())]
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    terminalreporter.section("chaos")
    terminalreporter.write_line("\n".join(lines))
