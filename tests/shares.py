"""How two processes share the suite (`pytest -n 2 -p tests.shares`): by file, and what takes long is begun first.

Each process has a PostgreSQL of its own. A file stays together, so that what it starts is started once; the journeys
stay together for the one service that they all use. Long files come first, so that both processes end together.
"""

from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/journeys/", "tests/bench/")
LONG = (
    *TOGETHER, "tests/test_up.py", "tests/demo/", "tests/chaos/", "tests/delivery/", "tests/workers/",
    "tests/embedded/", "tests/tracking/", "tests/webhooks/", "tests/test_openapi.py",
)  # fmt: skip


class ByFile(LoadScopeScheduling):
    """Hands out files and directories in the order of collection."""

    def _split_scope(self, nodeid):
        return next((part for part in TOGETHER if nodeid.startswith(part)), nodeid.split("::", 1)[0])


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items):
    def place(item):
        return next((place for place, part in enumerate(LONG) if item.nodeid.startswith(part)), len(LONG))

    items.sort(key=place)
