"""The chaos suite takes minutes to hours, so it runs only when asked: `BUDSTIKKE_CHAOS=20 pytest tests/chaos -s`.

The number is how many faults each scenario meets.
"""

import os

FAULTS = int(os.environ.get("BUDSTIKKE_CHAOS", "0"))

if not FAULTS:
    collect_ignore_glob = ["test_*.py"]
