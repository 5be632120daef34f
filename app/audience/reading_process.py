"""The program that reads an imported file ahead of the database, on another core than the worker's.

Reading and checking a row takes as much as matching and writing it. A hostile file costs this process, and the worker's
event loop is free for its other jobs. It ends when nobody listens any more, also after kill -9 of the worker.

Argument: JSON `{path, file_name, mapping, options, next_row, default_country, kinds, sizes}`.
Output: frames of a length (8 octets, big-endian) and so many octets, `marshal` of a pair: `("opened", {detected,
total})` or `("refused", {code, detail})` first, then `("batch", fields)` each, then `("end", None)`. `next_row` null:
nothing after `opened`.
"""

import gc
import json
import marshal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from app.audience.headings import InvalidMapping
from app.audience.import_reading import open_reading, read_batches, with_samples
from app.audience.sheet_row import UnreadableFile
from app.audience.sheets import SheetOptions


def main(out: BinaryIO) -> None:
    """Read the file named in the argument, and write frames."""
    gc.disable()  # rows are trees of plain values; looking for circles among them took a tenth of the time
    wanted = json.loads(sys.argv[1])
    try:
        reading = open_reading(
            Path(wanted["path"]), file_name=wanted["file_name"], mapping=wanted["mapping"],
            options=SheetOptions(**wanted["options"]),
        )  # fmt: skip
        looks_only = wanted["next_row"] is None
        detected = with_samples(reading) if looks_only else reading.detected
        say(out, "opened", {"detected": detected, "total": reading.total})
        if not looks_only:
            for batch in read_batches(
                reading, next_row=wanted["next_row"], default_country=wanted["default_country"],
                kinds=wanted["kinds"], sizes=tuple(wanted["sizes"]),
            ):  # fmt: skip
                say(out, "batch", tuple(batch))
    except UnreadableFile as refusal:
        say(out, "refused", {"code": refusal.code, "detail": refusal.detail})
    except InvalidMapping as refusal:
        say(out, "refused", {"code": "invalid_mapping", "detail": " ".join(refusal.problems)})
    say(out, "end", None)


def say(out: BinaryIO, what: str, content: Any) -> None:
    """Write one frame."""
    octets = marshal.dumps((what, content))
    out.write(len(octets).to_bytes(8, "big"))
    out.write(octets)
    out.flush()


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(sys.stdout.buffer)
