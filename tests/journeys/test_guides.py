"""What the README and the guides tell a newcomer to type does what they say, on a service of its own."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.journeys.conftest import Service
from tests.running import ROOT, Up, wait_until

# Every answer of 400 and more ends the script, and so does a pipe that breaks.
PRELUDE = """
set -euo pipefail
curl() { command curl --fail-with-body --max-time 30 "$@"; }
"""
HOST = "http://127.0.0.1:8000"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="guides are written for curl; .ci/run installs it")


def typed(guide: Path) -> list[str]:
    """Return the commands of a guide, block by block, without those that start the service."""
    blocks = re.findall(r"^```sh\n(.*?)^```", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if not block.startswith("make ")]


@contextmanager
def followed(guide: Path, directory: Path) -> Iterator[tuple[Service, str]]:
    """Run a guide's commands one after the other, as one person would; yield the service and what was printed."""
    data_dir = directory / "data"
    with Up(data_dir) as up:
        service = Service(up, data_dir)
        yield service, follow(guide, service, data_dir)
        service.crm.close()
        service.reader.close()
        up.stop()


def follow(guide: Path, service: Service, data_dir: Path) -> str:
    """Run a guide's commands on a service that runs; return what was printed."""
    script = (PRELUDE + "\n".join(typed(guide))).replace(HOST, service.url).replace("var/data/", f"{data_dir}/")
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_readme_s_tour_works_as_written(tmp_path):
    with followed(ROOT / "README.md", tmp_path) as (service, _):
        wait_until(lambda: service.state({"id": 1}) == "finished")
        assert len(service.caught("kari@example.com")) == 1
        assert service.statistics({"id": 1})["recipients"]["by_status"]["sent"] == 2


def test_a_newcomer_comes_from_an_export_to_a_frozen_list_and_reads_why(tmp_path):
    """D25, D17: the guide's own words."""
    with followed(ROOT / "docs" / "guides" / "audience.md", tmp_path) as (service, printed):
        assert service.get("/v1/imports/2")["rows"] == 2000
        last = json.loads(printed.strip().splitlines()[-1])
        assert last["name"] == "Kari Nordmann"
        assert "Readers or VIP" in last["explanation"]
        assert last["consent"]["source"] == "web shop, order 4711"
        the_guide_for_integrators_works_as_written(service, tmp_path / "data")
        the_guide_to_sending_works_as_written(service, tmp_path / "data")
        the_guide_to_pages_works_as_written(service, tmp_path / "data")
        the_guide_to_links_works_as_written(service, tmp_path / "data")
        the_guide_to_link_actions_works_as_written(service, tmp_path / "data")
        the_guide_to_tracking_works_as_written(service, tmp_path / "data")


def the_guide_for_integrators_works_as_written(service, data_dir):
    """D76, D77, D78: on the same service, since starting one takes longer than the guide."""
    printed = follow(ROOT / "docs" / "guides" / "integrate.md", service, data_dir)
    answers = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert {"done": True, "created": 1, "updated": 0, "failed": 1} in answers
    assert [answer["state"] for answer in answers if answer.get("kind") == "erasure"] == ["succeeded"]
    [exported] = data_dir.glob("person-*.json")
    assert json.loads(exported.read_text())["person"]["name"] == "Ingrid Hauge"
    timelines = [answer["items"] for answer in answers if answer.get("items") and "moment" in answer["items"][0]]
    assert [[entry["kind"] for entry in timeline] for timeline in timelines] == [["consent"]]
    entries = [answer["items"] for answer in answers if answer.get("items") and "before" in answer["items"][0]]
    assert [entry["entity"] for entry in entries[0]] == ["webhook"]
    assert entries[1][0]["action"] == "erased"
    assert "ingrid" not in json.dumps(entries[1]).lower()


def the_guide_to_sending_works_as_written(service, data_dir):
    """D6, D27, D31: on the same service, too."""
    printed = follow(ROOT / "docs" / "guides" / "sending.md", service, data_dir)
    [told] = [line.removeprefix("data: ") for line in printed.splitlines() if line.startswith("data: ")]
    progress = json.loads(told)
    assert (progress["state"], progress["sent"], progress["total"]) == ("finished", 2, 2)
    [message] = service.caught("kari@example.com")
    assert message["DKIM-Signature"]


def the_guide_to_pages_works_as_written(service, data_dir):
    """D46, D49: on the same service, too."""
    printed = follow(ROOT / "docs" / "guides" / "pages.md", service, data_dir)
    answers = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert "422" in printed.splitlines()
    assert answers[-1]["sender_name"] == "Nordavind"
    assert service.reader.get(re.search(r"/brand/.*", answers[-1]["logo"]["url"])[0]).status_code == 200
    assert [answer["left"] for answer in answers if "left" in answer] == [0]


def the_guide_to_links_works_as_written(service, data_dir):
    """D9, D36, D45: a link of the library, tracked alone, and a honeypot beside it."""
    printed = follow(ROOT / "docs" / "guides" / "links.md", service, data_dir)
    answers = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    [links] = [one["items"] for one in answers if one.get("items") and "honeypot" in one["items"][0]]
    analytics = "utm_medium=email&utm_source=newsletter&utm_campaign=autumn"
    assert [(link["target"], link["honeypot"]) for link in links] == [
        (f"https://www.nordlys.example/prices?lang=nb&c=[[customer.number]]&{analytics}#top", False),
        ("https://www.nordlys.example/", True),
    ]
    [uses] = [one["items"] for one in answers if one.get("items") and one["items"][0].get("kind") == "mailing"]
    assert [(use["name"], use["sent"]) for use in uses] == [("Autumn prices", False)]


def the_guide_to_link_actions_works_as_written(service, data_dir):
    """D38, D39: on the same service, too."""
    printed = follow(ROOT / "docs" / "guides" / "actions.md", service, data_dir)
    answers = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    [listed] = [answer["items"] for answer in answers if answer.get("items")]
    assert [item["action"]["kind"] for item in listed] == ["response", "follow_up"]
    assert {"repeated": 0} in answers
    assert (answers[-1]["action"]["kind"], answers[-1]["position"]) == ("script", 3)


def the_guide_to_tracking_works_as_written(service, data_dir):
    """D40, D44, D45: on the same service, too."""
    printed = follow(ROOT / "docs" / "guides" / "tracking.md", service, data_dir)
    answers = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    ended = [(answer["kind"], answer["state"]) for answer in answers if "finished_at" in answer]
    assert ended == [("recompute-verdicts", "succeeded")] * 2 + [("reset-engagement", "succeeded")] * 2
    assert [answer["clickers"] for answer in answers if "clickers" in answer] == [{"human": 0, "machine": 0}]
    assert {entry["entity"] for entry in answers[-1]["items"]} == {"library_link", "mailing"}
