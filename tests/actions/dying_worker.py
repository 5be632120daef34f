"""Workers that do actions and are killed, again and again; the last one is let live. Prints what was done at each kill.

Forks, so that Python's imports are paid for once.
"""

import asyncio
import os
import random
import signal
import sys
import time

import asyncpg

from app import tables
from app.platform.db import Database
from app.platform.tokens import TokenKey
from tests.conftest import SECRET, settings_for
from workers.context import Context, JobRun
from workers.jobs.actions import perform_actions

__all__ = ["tables"]


async def _perform(url: str) -> None:
    settings = settings_for(url, action_hold_seconds=0.0)
    database = Database.connect(settings, name="dying")
    await perform_actions(Context(settings, database, TokenKey.from_secret(SECRET)), JobRun(1, {}, 1))
    await database.close()


async def _done(url: str) -> int:
    connection = await asyncpg.connect(url)
    done = await connection.fetchval("SELECT count(*) FROM action_run WHERE state = 'done'")
    await connection.close()
    return int(done)


def _begin(url: str) -> int:
    child = os.fork()
    if child == 0:
        asyncio.run(_perform(url))
        os._exit(0)
    return child


def main(url: str, kills: int) -> None:
    dice = random.Random(kills)
    for _ in range(kills):
        children = [_begin(url) for _ in range(2)]
        before = asyncio.run(_done(url))
        while asyncio.run(_done(url)) == before:  # until they are at it
            time.sleep(0.005)
        time.sleep(dice.random() * 0.05)
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        sys.stdout.write(f"{asyncio.run(_done(url))}\n")
    sys.stdout.flush()
    os.waitpid(_begin(url), 0)


main(sys.argv[1], int(sys.argv[2]))
