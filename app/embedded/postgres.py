"""PostgreSQL of our own: a cluster in the data directory, answering on 127.0.0.1 with a password.

`<data>/postgres/cluster` is the cluster, `<data>/postgres/password` the superuser's password (mode 0600). TCP instead
of a Unix socket: a socket's path is limited to 107 bytes, and a data directory may lie deeper than that.

PostgreSQL refuses to run as root. Then it runs as `nobody`, or as whoever owns an existing cluster, and only
`<data>/postgres` is given to that account. It need not be able to reach that directory by its path, which may lie under
/root: the launcher opens the cluster before it drops to the account, and PostgreSQL is told that its data are in that
open directory, /proc/self/fd/9. (Its working directory would not do: PostgreSQL 15 leaves it and returns by path.)
"""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import asyncpg

from app.embedded.binaries import PostgresBinaries, find_postgres, runnable_by
from app.embedded.errors import DataDirectoryUnusableError
from app.embedded.ports import free_port
from app.embedded.process import HELD_PATH, Account, Child, Server, Service, failed, log_file, run, start

ROLE = "budstikke"
DATABASE = "budstikke"

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    # DETAIL and CONTEXT quote rows; no personal data in logs.
    "log_error_verbosity": "terse",
    # Short statements in great number; compiling them costs more than it gains.
    "jit": "off",
}
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
# For tests: data survive a crash of the server, not of the machine.
_FAST = {
    "fsync": "off",
    # Without fsync a commit that waits costs next to nothing, and without waiting a killed server loses commits.
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
_PREDECESSOR_LEAVES_WITHIN = 30.0  # seconds; a postmaster whose parent was killed ends by itself (SIGQUIT: 5 s at most)


def start_postgres(
    data_dir: Path, *, port: int = 0, durable: bool = True, settings: Mapping[str, str] | None = None
) -> Server:
    """Start PostgreSQL on the data directory (made at first start) and return when it answers.

    `port` 0 takes a free one. `durable=False` gives up safety against power loss for speed (tests). `settings` are
    further server settings. The server's `url` names the database `budstikke` and its superuser: good for asyncpg,
    psql, and, with `+asyncpg` after the scheme, SQLAlchemy. Call from the main thread (see `process`).
    Errors: BinaryMissingError, BinaryUnreadableError, ChildFailedError, DataDirectoryUnusableError.
    """
    service = prepare_postgres(data_dir, port=port, durable=durable, settings=settings)
    return start(service, log=log_file(data_dir, service.child.name))


def prepare_postgres(
    data_dir: Path, *, port: int = 0, durable: bool = True, settings: Mapping[str, str] | None = None
) -> Service:
    """Make the cluster if there is none, and return how to start it; the cluster is complete or not there."""
    data_dir = data_dir.resolve()
    home = data_dir / "postgres"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        account = _account_for(home)
        if not home.exists():
            home.mkdir(mode=0o700)
            _give(home, account)
        password = _password(home)
    except OSError as error:
        raise DataDirectoryUnusableError(data_dir, cause=error) from error
    binaries = find_postgres()
    if account:
        binaries = runnable_by(account, binaries)
    log = log_file(data_dir, "postgres")
    cluster = home / "cluster"
    if cluster.exists():
        _await_predecessor(cluster, log=log)
    else:
        _make_cluster(cluster, binaries, account, password=password, durable=durable, log=log)
    port = port or free_port()
    url = f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/{DATABASE}"
    chosen = {**_SETTINGS, **(_DURABLE if durable else _FAST), **(settings or {}), "port": str(port)}
    options = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
    child = Child(
        name="postgres",
        argv=[str(binaries.bin_dir / "postgres"), "-D", _directory_for(cluster, account), *options],
        env={"LC_ALL": "C.UTF-8"},
        cwd=Path("/"),
        account=account,
        held=cluster,
        ready=lambda: _answers(url),
        ready_within=120.0,  # recovery after a crash replays up to max_wal_size, 1 GB
        # Fast shutdown, then immediate shutdown (recovery at the next start).
        stop_signals=((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0)),
        # Immediate shutdown: the postmaster ends its backends, by SIGKILL after 5 s, and nothing stays behind.
        death_signal=signal.SIGQUIT,
    )
    return Service(url, child)


def running_postgres_url(data_dir: Path) -> str | None:
    """Return the address of the PostgreSQL that runs on the data directory, or None when none does."""
    home = data_dir.resolve() / "postgres"
    try:
        pid, _, _, port, *_ = (home / "cluster/postmaster.pid").read_text().splitlines()
        password = (home / "password").read_text().strip()
    except (FileNotFoundError, ValueError):
        return None
    if not _is_postmaster(int(pid), home / "cluster"):
        return None
    return f"postgresql://{ROLE}:{password}@127.0.0.1:{int(port)}/{DATABASE}"


def _account_for(home: Path) -> Account | None:
    """Return the account to drop to, or None to stay who we are: as root, an existing cluster's owner, else nobody."""
    if os.geteuid() != 0:
        return None
    if home.exists() and home.stat().st_uid != 0:
        found = home.stat()
        return Account(f"uid {found.st_uid}", found.st_uid, found.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return Account("nobody", 65534, 65534)  # the number that Linux keeps for it
    return Account(nobody.pw_name, nobody.pw_uid, nobody.pw_gid)


def _give(path: Path, account: Account | None) -> None:
    if account:
        os.chown(path, account.uid, account.gid)


def _directory_for(cluster: Path, account: Account | None) -> str:
    """Return the name by which PostgreSQL reaches the cluster, which it is started to hold."""
    return HELD_PATH if account else str(cluster)


def _password(home: Path) -> str:
    """Return the superuser's password, made before the cluster is; URL-safe. FileNotFoundError when it got lost."""
    file = home / "password"
    if file.exists() or (home / "cluster").exists():
        return file.read_text().strip()
    password = secrets.token_urlsafe(32)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(password + "\n")
    return password


def _make_cluster(
    cluster: Path, binaries: PostgresBinaries, account: Account | None, *, password: str, durable: bool, log: Path
) -> None:
    """Make the cluster with its database under another name, then rename it."""
    building = cluster.with_name("cluster.building")
    secret = cluster.with_name("initdb.password")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700)
    _give(building, account)
    secret.unlink(missing_ok=True)
    secret.touch(mode=0o600)
    secret.write_text(password + "\n")
    _give(secret, account)
    directory = _directory_for(building, account)
    initdb = [str(binaries.bin_dir / "initdb"), "-D", directory, "-U", ROLE, "-E", "UTF8", "--locale=C.UTF-8"]
    initdb += ["--auth=scram-sha-256", f"--pwfile={directory}/../{secret.name}", *([] if durable else ["--no-sync"])]
    single = [str(binaries.bin_dir / "postgres"), "--single", "-D", directory, *([] if durable else ["-F"]), "postgres"]
    step = Child("initdb", initdb, env={"LC_ALL": "C.UTF-8"}, cwd=Path("/"), account=account, held=building)
    try:
        run(step, log=log)
    finally:
        secret.unlink()
    create = f"CREATE DATABASE {DATABASE};\n".encode()
    run(replace(step, name="create database", argv=single), log=log, stdin=create)
    building.rename(cluster)


def _await_predecessor(cluster: Path, *, log: Path) -> None:
    """Wait until a postmaster whose supervisor was killed has left; a stale pid file PostgreSQL handles itself."""
    deadline = time.monotonic() + _PREDECESSOR_LEAVES_WITHIN
    while (pid := _postmaster_pid(cluster)) and _is_postmaster(pid, cluster):
        if time.monotonic() > deadline:
            raise failed(Child("postgres", []), f"still runs on this cluster as process {pid}; end it first", log=log)
        time.sleep(0.05)


def _postmaster_pid(cluster: Path) -> int | None:
    try:
        return int((cluster / "postmaster.pid").read_text().partition("\n")[0])
    except (FileNotFoundError, ValueError):
        return None


def _is_postmaster(pid: int, cluster: Path) -> bool:
    """Tell whether the process runs in the cluster's directory, as a postmaster does (a pid may be in use again)."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == cluster
    except OSError:
        return False


def _answers(url: str) -> bool:
    """Tell whether our server takes a login."""
    # A thread for the event loop, since the caller's thread may be running one.
    with ThreadPoolExecutor(max_workers=1) as aside:
        return aside.submit(asyncio.run, _log_in(url)).result()


async def _log_in(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
        return False
    except asyncpg.InvalidPasswordError:
        return False  # another server has the port; ours is about to end because of it
    await connection.close()
    return True
