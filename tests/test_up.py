"""`budstikke up`, `doctor` and their refusals, as a newcomer meets them: real processes on data of their own."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from app.embedded.ports import free_port

ROOT = Path(__file__).parent.parent


def clean_environment(**changes: str) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("BUDSTIKKE_")}
    return known | changes


def budstikke(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=ROOT, env=clean_environment(**environment), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def wait_until(condition, within: float = 40.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


class Up:
    """A running `up`."""

    def __init__(self, data_dir: Path) -> None:
        self.port = free_port()
        self.environment = {"BUDSTIKKE_DATA_DIR": str(data_dir), "BUDSTIKKE_PORT": str(self.port)}
        self.output = data_dir.parent / f"up-{self.port}.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "up"],
                cwd=ROOT, env=clean_environment(**self.environment), stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        wait_until(lambda: "Stop with Ctrl-C" in self.output.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.output.read_text()

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return httpx2.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0


def descendants(pid: int) -> set[int]:
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in listed.splitlines()}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_up_starts_everything_keeps_data_and_leaves_nothing_behind(tmp_path):
    data_dir = tmp_path / "data"
    key_file = data_dir / "admin-key"
    with Up(data_dir) as up:
        admin_key = key_file.read_text().strip()
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        assert admin_key in up.output.read_text()
        assert up.get("/readyz").json() == {"ready": True}
        assert up.get("/dev/mail/").status_code == 200
        assert "budstikke_http_requests_total" in up.get("/metrics").text
        bearer = {"Authorization": f"Bearer {admin_key}"}
        created = httpx2.post(
            f"http://127.0.0.1:{up.port}/v1/templates", json={"name": "Kept"}, headers=bearer, timeout=10
        )
        assert created.status_code == 201

        examined = budstikke("doctor", **up.environment)
        assert examined.returncode == 0, examined.stdout + examined.stderr

        second = budstikke("up", **up.environment)
        assert second.returncode == 1
        assert str(up.process.pid) in second.stderr
        assert "Traceback" not in second.stderr
        up.stop()
    with Up(data_dir) as again:
        assert admin_key not in again.output.read_text()
        names = [item["name"] for item in again.get("/v1/templates", **bearer).json()["items"]]
        assert names == ["Kept"]
        children = descendants(again.process.pid)
        assert len(children) >= 6
        again.process.kill()
        again.process.wait(10)
        wait_until(lambda: not any(alive(pid) for pid in children))


def test_with_servers_configured_a_missing_secret_is_an_error():
    refused = budstikke(
        "api",
        BUDSTIKKE_DATABASE_URL="postgresql://u:p@127.0.0.1:1/b",
        BUDSTIKKE_REDIS_URL="redis://127.0.0.1:1/0",
        BUDSTIKKE_SMTP_URL="smtp://127.0.0.1:1",
        BUDSTIKKE_PUBLIC_URL="https://news.example.com",
    )
    assert refused.returncode == 1
    assert "BUDSTIKKE_SECRET_KEY" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_short_secret_is_refused_without_showing_it():
    refused = budstikke(
        "api",
        BUDSTIKKE_DATABASE_URL="postgresql://u:p@127.0.0.1:1/b",
        BUDSTIKKE_REDIS_URL="redis://127.0.0.1:1/0",
        BUDSTIKKE_SMTP_URL="smtp://127.0.0.1:1",
        BUDSTIKKE_PUBLIC_URL="https://news.example.com",
        BUDSTIKKE_SECRET_KEY="hunter2",
    )
    assert refused.returncode == 1
    assert "at least 32" in refused.stderr
    assert "hunter2" not in refused.stderr


def test_doctor_says_what_is_wrong_and_what_to_do(tmp_path):
    examined = budstikke(
        "doctor",
        BUDSTIKKE_DATABASE_URL="postgresql://u:p@127.0.0.1:1/b",
        BUDSTIKKE_REDIS_URL="redis://127.0.0.1:1/0",
        BUDSTIKKE_SMTP_URL="smtp://127.0.0.1:1",
        BUDSTIKKE_PUBLIC_URL="http://news.example.com",
        BUDSTIKKE_SECRET_KEY="x" * 40,
        BUDSTIKKE_DATA_DIR=str(tmp_path),
    )
    assert examined.returncode == 1
    for advice in ("BUDSTIKKE_DATABASE_URL", "BUDSTIKKE_REDIS_URL", "Is the server up", "RFC 8058"):
        assert advice in examined.stdout


@pytest.mark.parametrize("command", ["doctor", "migrate"])
def test_commands_need_a_running_stack_or_settings(tmp_path, command):
    refused = budstikke(command, BUDSTIKKE_DATA_DIR=str(tmp_path / "nothing"))
    assert refused.returncode == 1
    assert "budstikke up" in refused.stderr
