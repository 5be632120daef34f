"""What is done to the service while it sends. Each fault counts itself."""

import asyncio
import os
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path

import redis.asyncio

from app.embedded.process import ChildFailedError, Server, Service, log_file, start
from tests.chaos.world import World

JUMPS = ("+0", "-3600", "+3600", "+0", "+90000")  # seconds by which the wall clock is off, as faketime writes it
FULL_SECONDS = 0.7
AWAY_SECONDS = 0.5


async def kill(world: World) -> None:
    world.signal_worker(signal.SIGKILL)


async def end(world: World) -> None:
    world.signal_worker(signal.SIGTERM)


async def kill_the_api(world: World) -> None:
    world.kill_api()


async def kill_the_mail_server(world: World) -> None:
    """It is away for a moment; what it took stands in its ledger, whatever it had said."""
    world.faults["SIGKILL of the SMTP server"] += 1
    world.sink.kill()
    await asyncio.sleep(AWAY_SECONDS)
    world.sink.start()


async def empty_redis(world: World) -> None:
    world.faults["FLUSHALL"] += 1
    client = redis.asyncio.from_url(world.settings.redis_url.get_secret_value())
    with suppress(redis.asyncio.RedisError):  # it may be away
        await client.flushall()
    await client.aclose()


async def cut_off_the_database(world: World) -> None:
    """Every connection of the workers ends."""
    world.faults["backends ended"] += 1
    await world.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'budstikke worker%' AND pid <> pg_backend_pid()"
    )


async def crash_the_database(world: World) -> None:
    """A backend that is killed makes PostgreSQL end all others and recover from its log."""
    world.faults["PostgreSQL crashed"] += 1
    found = await world.ask(
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'budstikke worker%' ORDER BY random() LIMIT 1"
    )
    if found:
        with suppress(ProcessLookupError):
            os.kill(found[0]["pid"], signal.SIGKILL)
        await world.reconnect()


class Servers:
    """PostgreSQL and Valkey, to be stopped, killed and started again where they were."""

    def __init__(self, directory: Path, *, postgres: Server, valkey: Server) -> None:
        self.directory = directory
        self.postgres = postgres
        self.valkey = valkey

    def stop(self) -> None:
        self.valkey.stop()
        self.postgres.stop()

    async def restart_the_database(self, world: World) -> None:
        """Stop it as an operator does."""
        world.faults["PostgreSQL restarted"] += 1
        await asyncio.to_thread(self.postgres.stop)
        await asyncio.sleep(AWAY_SECONDS)
        self.postgres = self._again(self.postgres)
        await world.reconnect()

    async def kill_the_database(self, world: World) -> None:
        world.faults["SIGKILL of PostgreSQL"] += 1
        os.kill(self.postgres.pid, signal.SIGKILL)
        await asyncio.to_thread(self.postgres.process.wait, 10)
        await asyncio.sleep(AWAY_SECONDS)
        self.postgres = self._again(self.postgres)
        await world.reconnect()

    async def restart_redis(self, world: World) -> None:
        world.faults["Valkey restarted"] += 1
        await asyncio.to_thread(self.valkey.stop)
        await asyncio.sleep(AWAY_SECONDS)
        self.valkey = self._again(self.valkey)

    async def kill_redis(self, world: World) -> None:
        world.faults["SIGKILL of Valkey"] += 1
        self.valkey.process.kill()
        await asyncio.to_thread(self.valkey.process.wait, 10)
        self.valkey = self._again(self.valkey)

    def _again(self, server: Server) -> Server:
        """Start it at the same place; backends of a killed PostgreSQL may have to leave first."""
        until = time.monotonic() + 30
        while True:
            try:
                return start(Service(server.url, server.child), log=log_file(self.directory, server.child.name))
            except ChildFailedError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)


async def jump_the_clock(world: World) -> None:
    """The wall clock of all workers jumps; their monotonic clocks go on."""
    world.faults["clock jumped"] += 1
    set_clock(world, world.dice.choice(JUMPS))


def set_clock(world: World, offset: str) -> None:
    file = Path(world.environment["FAKETIME_TIMESTAMP_FILE"])
    file.with_suffix(".new").write_text(offset, encoding="ascii")
    file.with_suffix(".new").replace(file)


async def fill_the_disk(world: World) -> None:
    """For a moment no file of a worker may grow: the journal cannot be written."""
    world.faults["disk full"] += 1
    pid = world.dice.choice(world.workers).pid
    with suppress(ProcessLookupError):
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        await asyncio.sleep(FULL_SECONDS)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
