"""MJML (D10): a template's source that is easy to write, compiled to the HTML that mail programs need.

The compiler (mrml) runs in a process of its own, with limits: it holds Python's lock while it works, and hostile
nesting ends its process. It gets no merge tags: each is replaced by a word before and put back behind, so that a
default's quotes cannot end an attribute, and the HTML holds the very tag that was written. The faults that people make
are found before (`mjml_structure`), with line and column, which mrml mostly does not give.

Fonts: mrml would load Google's for its default font, which tells a third party who reads; only `mj-font` adds any.
"""

import asyncio
import json
import os
import re
import sys
from itertools import islice

from app.content.merge_tags import Parsed, line_starts, locate, parse_leniently
from app.content.mjml_structure import MjmlFault, find_faults

MAX_HTML = 2_000_000  # characters, as for HTML that is written by hand
MAX_FAULTS = 20
SECONDS = 10.0  # a megabyte of sections takes 0.5; the limit of CPU time in `mjml_process` is half of this
AT_ONCE = 2  # compilers at work at the same time in one API process

PROGRAM = "app.content.mjml_process"

_POSITION = re.compile(r"at position (\d+):")
_at_work = asyncio.Semaphore(AT_ONCE)


class MjmlError(ValueError):
    """MJML that does not compile; `faults` has at least one."""

    def __init__(self, faults: list[MjmlFault]) -> None:
        self.faults = faults
        super().__init__(faults[0].message)


async def compile_mjml(mjml: str) -> str:
    """Return the HTML of an MJML document, its merge tags as they were. Raises MjmlError."""
    source, words = await asyncio.to_thread(_read, mjml)  # a hostile megabyte takes a second
    async with _at_work:
        html = await _in_a_process(words.text, source)
    if len(html) > MAX_HTML:
        raise MjmlError([MjmlFault(f"It compiles to {len(html)} characters of HTML; at most {MAX_HTML} are kept.")])
    return words.put_back(html)


def _read(mjml: str) -> tuple[Parsed, "_Words"]:
    source, _ = parse_leniently(mjml, where="mjml", html=True)
    if faults := list(islice(find_faults(source), MAX_FAULTS)):
        raise MjmlError(faults)
    return source, _Words(source)


class _Words:
    """A source in which every merge tag is a word of its length (at least), and the way back."""

    def __init__(self, source: Parsed) -> None:
        self.marker = "mergetag"
        while self.marker in source.text:
            self.marker += "q"
        self.tags = [source.text[span.start : span.end] for span in source.spans]
        pieces: list[str] = []
        position = 0
        for number, span in enumerate(source.spans):
            digits = max(1, span.end - span.start - len(self.marker) - 1)
            pieces += source.text[position : span.start], f"{self.marker}{number:0{digits}d}z"
            position = span.end
        self.text = "".join((*pieces, source.text[position:]))

    def put_back(self, html: str) -> str:
        return re.sub(rf"{self.marker}(\d+)z", lambda word: self.tags[int(word[1])], html)


async def _in_a_process(mjml: str, source: Parsed) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", PROGRAM, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            written, _ = await process.communicate(mjml.encode("utf-8", "replace"))
    except TimeoutError as error:
        raise MjmlError(
            [MjmlFault(f"Compiling it takes longer than {SECONDS:.0f} seconds; make it smaller.")]
        ) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        if process.returncode > 0:  # Python's own words are in the log: it could not even start
            raise RuntimeError("the MJML compiler is broken")
        raise MjmlError([MjmlFault("It takes too much memory or time to compile, or is nested too deeply.")])
    answer = json.loads(written)
    if "html" in answer:
        return str(answer["html"])
    raise MjmlError([_located(str(answer["error"]), mjml, source)])


def _located(words: str, mjml: str, source: Parsed) -> MjmlFault:
    """Read mrml's words: a position in them counts octets."""
    position = _POSITION.search(words)
    message = f"It cannot be compiled: {words[:200]}."
    if position is None:
        return MjmlFault(message)
    offset = len(mjml.encode("utf-8", "replace")[: int(position[1])].decode("utf-8", "replace"))
    return MjmlFault(message, *locate(line_starts(source.text), min(offset, len(source.text))))
