"""The program that compiles one MJML document: UTF-8 on its standard input, `{"html"}` or `{"error"}` as JSON out.

mrml works by recursion and holds Python's lock: what hostile input does, it does to this process. It can load no file:
without a loader, mrml includes nothing.
"""

import json
import resource
import sys

from mjml import mjml2html

CPU_SECONDS = 5  # ten times what a megabyte takes
MEMORY_OCTETS = 1 << 30


def main() -> None:
    """Compile standard input."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_OCTETS, MEMORY_OCTETS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source = sys.stdin.buffer.read().decode("utf-8")
    answer: dict[str, str]
    try:
        answer = {"html": str(mjml2html(source, fonts={}))}
    except (ValueError, MemoryError) as error:
        answer = {"error": str(error) or "it takes too much memory"}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
