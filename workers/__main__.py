"""`python -m workers`: one worker process, with the settings of the environment."""

import uvloop

from app.platform.settings import load_settings
from workers.main import run_worker

if __name__ == "__main__":
    uvloop.run(run_worker(load_settings()))
