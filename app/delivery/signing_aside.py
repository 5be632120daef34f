"""Many signatures at once, made by a process of its own (signing_process.py) where they are worth one.

Each thread that signs has its process; Python's lock is free while the thread waits for it. Signing changes nothing, so
whatever a process did not answer is signed here: while it starts, and after it was killed or had nothing to do.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from select import select
from typing import BinaryIO, cast

from app.delivery.signing_process import hear, say
from app.domains.dkim import SignatureField, SigningKey
from app.domains.key_material import write_key
from app.platform.telemetry import log

PROGRAM = "app.delivery.signing_process"
WORTH = 200  # signatures; starting a process takes the time of a thousand


class Signing:
    """A process that signs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        self._into = cast("BinaryIO", self._process.stdin)
        self._out = cast("BinaryIO", self._process.stdout)
        self._ready = False

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def is_ready(self) -> bool:
        """Whether it has started; raises EOFError if it could not."""
        if not self._ready and select([self._out], [], [], 0)[0]:
            hear(self._out)
            self._ready = True
        return self._ready

    def sign(self, fields: Sequence[SignatureField]) -> list[bytes]:
        """Return the signatures of fields, in their order; raises OSError, EOFError when it has ended."""
        keys = list(dict.fromkeys(field.key for field in fields))
        say(self._into, [(_written(key), [field.digest for field in fields if field.key is key]) for key in keys])
        made = dict(zip(keys, map(iter, hear(self._out)), strict=True))
        return [next(made[field.key]) for field in fields]

    def end(self) -> None:
        """End it."""
        self._process.kill()
        with suppress(OSError), self._process:  # closes the pipes, waits for it
            pass


@dataclass(slots=True)
class Aside:
    """What signs for one thread."""

    made: int = 0
    """How many signatures were made here, without a process."""
    process: Signing | None = None

    def sign(self, fields: Sequence[SignatureField]) -> list[bytes]:
        """Return the signatures of the fields, in their order."""
        if self.process is None and self.made >= WORTH:
            self.process = Signing()
        if self.process is not None:
            try:
                if self.process.is_ready():
                    return self.process.sign(fields)
            except (OSError, EOFError):
                log.info("signing.process_ended")
                self.close()
        self.made += len(fields)
        return [field.key.sign(field.digest) for field in fields]

    def close(self) -> None:
        """End the process; there is another one when there is enough to sign."""
        if self.process is not None:
            self.process.end()
        self.made, self.process = 0, None


_HERE = threading.local()


def sign_all(fields: Sequence[SignatureField]) -> list[bytes]:
    """Return the signatures of fields, in their order; takes 200 µs for each RSA key, and nobody's lock meanwhile."""
    aside: Aside | None = getattr(_HERE, "aside", None)
    if aside is None:
        aside = _HERE.aside = Aside()
    return aside.sign(fields)


@lru_cache(maxsize=64)
def _written(key: SigningKey) -> bytes:
    return write_key(key.private)
