"""`budstikke up`, `doctor` and their refusals, as a newcomer meets them: real processes on data of their own."""

import stat
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.running import Up, budstikke, wait_until


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
