"""A supervisor with a small tree of children, run as a program by the supervisor's tests.

python small_tree.py DATA_DIR [CHILD ...]: starts the named children (postgres, valkey, catcher, or a name for a process
that only sleeps), says where they are as one line of JSON, and waits.
"""

import json
import os
import sys
from pathlib import Path

from app.embedded.process import Child
from app.embedded.supervisor import Supervisor


def main(data_dir: Path, names: list[str]) -> None:
    urls = {}
    with Supervisor(data_dir) as supervisor:
        for name in names:
            match name:
                case "postgres":
                    urls[name] = supervisor.postgres(durable=False).url
                case "valkey":
                    urls[name] = supervisor.valkey().url
                case "catcher":
                    urls[name] = supervisor.catcher().url
                case _:
                    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
                    supervisor.start(Child(name=name, argv=sleep))
        own = [
            int(line.split("/")[2]) for line in map(str, Path("/proc").glob("[0-9]*")) if _parent(line) == os.getpid()
        ]
        sys.stdout.write(json.dumps({"pid": os.getpid(), "children": own, "urls": urls}) + "\n")
        sys.stdout.flush()
        supervisor.wait()


def _parent(process: str) -> int | None:
    try:
        return int((Path(process) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
