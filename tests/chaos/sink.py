"""`python -m tests.chaos.sink LEDGER SCRIPT SEED PORT [CERTIFICATE KEY]`: the scripted server as a process of its own.

Says its port; with a certificate it offers STARTTLS.
"""

import asyncio
import ssl
import sys
from pathlib import Path

from tests.delivery.smtp_server import SmtpServer


async def serve(ledger: str, script: str, seed: str, port: str, *certificate: str) -> None:
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    server = SmtpServer(script, ledger_file=Path(ledger), keep_content=False, seed=int(seed), tls=tls)
    await server.listen(int(port))
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
