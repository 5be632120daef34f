"""Valkey of our own, on 127.0.0.1 with a password and without persistence: it holds hints, PostgreSQL the truth.

It runs as the account that starts it. The password is new at every start and stands in `<data>/valkey/valkey.conf`
(mode 0600), since every user of the machine can reach the loopback and read command lines.
"""

import os
import secrets
import socket
from pathlib import Path

from app.embedded.binaries import find_valkey
from app.embedded.errors import DataDirectoryUnusableError
from app.embedded.ports import free_port
from app.embedded.process import Child, Server, Service, log_file, start


def start_valkey(data_dir: Path, *, port: int = 0) -> Server:
    """Start Valkey and return when it answers; `port` 0 takes a free one, the server's `url` names database 0.

    Call from the main thread (see `process`). Errors: BinaryMissingError, ChildFailedError, DataDirectoryUnusableError.
    """
    service = prepare_valkey(data_dir, port=port)
    return start(service, log=log_file(data_dir, service.child.name))


def prepare_valkey(data_dir: Path, *, port: int = 0) -> Service:
    """Write the configuration and return how to start the server."""
    home = data_dir.resolve() / "valkey"
    binary = find_valkey()
    port = port or free_port()
    password = secrets.token_urlsafe(32)
    configuration = {
        "bind": "127.0.0.1",
        "port": str(port),
        "requirepass": password,
        "dir": f'"{home}"',
        "save": '""',
        "appendonly": "no",
        "daemonize": "no",
    }
    text = "".join(f"{name} {value}\n" for name, value in configuration.items())
    file = home / "valkey.conf"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
    except OSError as error:
        raise DataDirectoryUnusableError(data_dir, cause=error) from error
    child = Child(
        name="valkey",
        argv=[str(binary), str(file)],
        cwd=home,
        ready=lambda: _answers(port, password),
        ready_within=15.0,
    )
    return Service(f"redis://:{password}@127.0.0.1:{port}/0", child)


def _answers(port: int, password: str) -> bool:
    """Tell whether the server takes our password and a command."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=1) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"
    except OSError:
        return False
