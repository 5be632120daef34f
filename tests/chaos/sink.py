"""`python -m tests.chaos.sink LEDGER SCRIPT SEED`: the scripted SMTP server as a process of its own; says its port."""

import asyncio
import sys
from pathlib import Path

from tests.delivery.smtp_server import SmtpServer


async def serve(ledger: str, script: str, seed: str) -> None:
    server = SmtpServer(script, ledger_file=Path(ledger), keep_content=False, seed=int(seed))
    await server.listen()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
