"""The newcomer's path: the demo as a command, with everything it starts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.platform.settings import SERVER_SETTINGS

ROOT = Path(__file__).parents[2]


def run_demo(home, **environment):
    embedded = {name: value for name, value in os.environ.items() if not name.startswith("BUDSTIKKE_")}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "demo", "--into", str(home)],
        cwd=ROOT, env=embedded | environment, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path):
    yield tmp_path
    shutil.rmtree(tmp_path / "data", ignore_errors=True)  # some 200 MB of database and caught mail


def test_the_demo_checks_itself_and_sums_up(home):
    demo = run_demo(home)

    assert demo.returncode == 0, demo.stdout[-3000:] + demo.stderr[-3000:]
    summary = json.loads((home / "summary.json").read_text())
    assert set(summary) == {"import", "recipients", "caught", "engagement", "seconds"}
    assert summary["import"]["rows"] == 2000
    assert set(summary["import"]) == {"rows", "created", "updated", "problems"}
    list_ = summary["recipients"]
    assert list_["total"] == sum(list_["by_status"].values()) > 1000
    assert list_["by_status"]["blocked"] == sum(list_["blocked_by_reason"].values())
    assert list_["blocked_by_reason"].keys() == {
        "invalid_address", "blocked_address", "former_employee", "excluded", "no_consent", "no_subscription",
        "duplicate",
    }  # fmt: skip
    accepted = list_["by_status"]["sent"] + list_["by_status"]["bounced"]
    assert summary["caught"] == {"messages": accepted, "distinct_addresses": accepted}
    engagement = summary["engagement"]
    assert engagement["bounced"] == list_["by_status"]["bounced"] == 3
    assert engagement["unsubscribed"] > 0
    assert all(engagement[figure][who] > 0 for figure in ("opens", "clicks") for who in ("human", "machine"))
    assert summary["seconds"] < 90


def test_configured_servers_are_not_played_with(home):
    demo = run_demo(home, **dict.fromkeys(SERVER_SETTINGS, "smtp://mail.example.com"))

    assert demo.returncode == 1
    assert "Unset BUDSTIKKE_DATABASE_URL" in demo.stderr
    assert not (home / "summary.json").exists()
