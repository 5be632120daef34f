"""The demo's checks have teeth: a number that does not add up is named."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from app.demo.caught_mail import Caught
from app.demo.checks import Evidence, check_all
from app.demo.readers import Played
from app.demo.scenario import Audience, Imported

MARKS = dict.fromkeys(("opened_at", "clicked_at", "unsubscribed_at"))


def recipient(number, email, *, status="sent", reason=None, **marks):
    return {"person_id": number, "email": email, "status": status, "reason": reason, **MARKS, **marks}


def caught(address):
    return Caught(file=Path("x"), recipient=address, return_path="b+x@bounces.example", is_test=False)


def judged(human, machine):
    return {"human": human, "machine": machine, "total": human + machine}


def evidence():
    """Kari clicks, Ola leaves, Per bounces, Pål has Kari's address, Liv never said yes."""
    recipients = (
        recipient(1, "kari@blåbær.example", opened_at="now", clicked_at="now"),
        recipient(2, "ola@nordlys.example", opened_at="now", unsubscribed_at="now"),
        recipient(3, "per@nordlys.example", status="bounced"),
        recipient(4, "kari@blåbær.example", status="blocked", reason="duplicate"),
        recipient(5, "liv@nordlys.example", status="blocked", reason="no_consent"),
    )
    counts = {
        "total": 5,
        "by_status": {"sent": 2, "bounced": 1, "blocked": 2, "ready": 0},
        "blocked_by_reason": {"duplicate": 1, "no_consent": 1},
    }
    return Evidence(
        imported=Imported(rows=6, created=3, updated=1, unchanged=1, rejected=1, problems=2),
        audience=Audience(
            selection_id=1, consenting=frozenset({1, 2, 3, 4}), pasted=("liv@nordlys.example",),
            blocked=frozenset({"nei@nordlys.example"}), former="borte@nordlys.example",
        ),
        statistics={
            "recipients": counts, "sent": 3, "unsubscribed": 1, "bounced": {"hard": 1, "soft": 0},
            "opens": judged(2, 1), "clicks": judged(1, 2), "openers": judged(2, 1), "clickers": judged(1, 1),
        },
        recipients=recipients,
        links=(
            {"target": "https://nordlys.example/a?b=1&c=2#d", "clicks": {"human": 1, "machine": 1}},
            {"target": "https://nordlys.example/?firma=[[company.name]]", "clicks": {"human": 0, "machine": 1}},
        ),
        still_subscribed=frozenset(),
        hard_bounces=frozenset({"per@nordlys.example"}),
        caught=(caught("kari@xn--blbr-roah.example"), caught("Ola@nordlys.example"), caught("per@nordlys.example")),
        played=Played(
            opens=Counter(human=2, machine=1), clicks=Counter(human=1, machine=2),
            openers={"kari", "ola"}, clickers={"kari"}, unsubscribed={"Ola@nordlys.example"},
            bounced={"per@nordlys.example"},
            targets={"https://nordlys.example/a?b=1&c=2#d", "https://nordlys.example/?firma=Dahl%20AS"},
        ),
    )  # fmt: skip


def failing(evidence):
    return {check.claim for check in check_all(evidence) if not check.holds}


def test_numbers_that_add_up_pass():
    assert failing(evidence()) == set()


def test_mail_to_someone_blocked_is_noticed():
    sound = evidence()
    assert "blocked persons who got anything" in failing(
        dataclasses.replace(sound, caught=(*sound.caught, caught("liv@nordlys.example")))
    )


def test_a_second_message_to_one_address_is_noticed():
    sound = evidence()
    assert "addresses that got it twice" in failing(dataclasses.replace(sound, caught=(*sound.caught, sound.caught[1])))


def test_a_message_that_never_came_is_noticed():
    sound = evidence()
    found = failing(dataclasses.replace(sound, caught=sound.caught[1:]))
    assert {"caught messages = sent", "addresses mailed wrongly, or wrongly not"} <= found


def test_a_click_that_led_astray_is_noticed():
    sound = evidence()
    sound.played.targets.add("https://elsewhere.example/")
    assert failing(sound) == {"clicks that led elsewhere than their link"}


@pytest.mark.parametrize("figure", ["opens", "clicks"])
def test_an_event_judged_otherwise_than_played_is_noticed(figure):
    sound = evidence()
    sound.statistics[figure] = judged(sound.statistics[figure]["human"] - 1, sound.statistics[figure]["machine"] + 1)
    assert failing(sound) == {f"{figure} as played (human, machine)"}


def test_a_tally_that_drifted_from_the_list_is_noticed():
    sound = evidence()
    sound.statistics["recipients"]["by_status"] |= {"sent": 3, "bounced": 0}
    assert failing(sound) == {"the list, recounted by status"}


def test_an_unsubscription_without_effect_is_noticed():
    assert failing(dataclasses.replace(evidence(), still_subscribed=frozenset({2}))) == {
        "unsubscribed who would get the next one"
    }


def test_a_row_of_the_export_that_got_lost_is_noticed():
    sound = evidence()
    imported = dataclasses.replace(sound.imported, rejected=0)
    assert failing(dataclasses.replace(sound, imported=imported)) == {"every row is a person, an update or a problem"}
