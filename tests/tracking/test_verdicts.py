# ruff: noqa: E501 - user agents are as long as they are
"""The rules that need no rows, on public crawlers and on what readers use."""

import os
import sys
from contextlib import nullcontext

import pytest

from app.tracking.models import EventKind, Verdict
from app.tracking.verdicts import judge_request
from tests.tracking import user_agents

CLICK, OPEN = EventKind.CLICK, EventKind.OPEN

BROWSERS = """
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.86
Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1.1 Safari/605.1.15
Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36
Mozilla/5.0 (iPhone; CPU iPhone OS 18_1_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1.1 Mobile/15E148 Safari/604.1
Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1
Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/133.0 Mobile/15E148 Safari/605.1.15
Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/343.0.695551749 Mobile/15E148 Safari/604.1
Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36
Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36
Mozilla/5.0 (Linux; Android 13; Pixel 7 Build/TQ3A.230901.001; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/119.0.6045.66 Mobile Safari/537.36
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 OPR/115.0.0.0
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Vivaldi/7.0.3495.11
Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko
Mozilla/5.0 (Linux; Android 12; KFTUWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/128.3.1 like Chrome/128.0.6613.127 Safari/537.36
Mozilla/5.0 (Linux; U; Android 13; nb-no; Redmi Note 12) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/112.0.5615.136 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.5.0
Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36 YaBrowser/24.10.3.66.00
Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 DuckDuckGo/7 Safari/605.1.15
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15 Epiphany/605.1.15
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) QtWebEngine/5.15.15 Chrome/87.0.4280.144 Safari/537.36 Falkon/3.2
Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/450.0.0.38.108;FBDV/iPhone14,5;FBLC/nb_NO]
Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21E219 Instagram 325.0.3.34.90 (iPhone14,5; iOS 17_4; nb_NO)
Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [LinkedInApp]/9.29.4607
Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [Pinterest/iOS]
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Teams/24277.3502.3161.3007 Chrome/128.0.0.0 Electron/32.0.0 Safari/537.36
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) OneOutlook/1.2024.1111.100 Chrome/130.0.0.0 Safari/537.36 Edg/130.0.2849.80
Mozilla/5.0 (X11; Ubuntu; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Slack/4.41.97 Chrome/130.0.0.0 Electron/33.0.0 Safari/537.36
""".strip().splitlines()

MAIL_PROGRAMS = """
Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.5.0
Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook 16.0.5095; ms-office; MSOffice 16)
Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17628; Pro)
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)
Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148
Outlook-iOS/709.2226530.prod.iphone (3.24.1)
eM Client/10.1.4588.0
FastmailUA/1.0
""".strip().splitlines()

GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
YAHOO = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"


@pytest.mark.parametrize("user_agent", BROWSERS)
def test_a_browser_is_human(user_agent):
    assert judge_request(CLICK, "GET", user_agent).verdict is Verdict.HUMAN
    assert judge_request(OPEN, "GET", user_agent).verdict is Verdict.HUMAN


@pytest.mark.parametrize("user_agent", MAIL_PROGRAMS)
def test_a_mail_program_that_loads_images_is_human(user_agent):
    assert judge_request(OPEN, "GET", user_agent).verdict is Verdict.HUMAN


def test_verdicts_on_public_user_agents_are_as_good_as_is_told(capsys):
    """D45: precision and recall with floors; `make verdicts` prints the table. See user_agents for what it proves."""
    with capsys.disabled() if os.environ.get("BUDSTIKKE_PRINT") else nullcontext():
        sys.stdout.write(f"\n{user_agents.table()}\n")
    readers = ["held-out browsers", "visitors"]
    sizes = {name: len(found.agents) for name, found in user_agents.collections().items()}
    assert min(sizes["listed crawlers"], sizes["held-out crawlers"], sizes["held-out browsers"]) > 2000
    precision, recall = user_agents.precision_and_recall(machines="held-out crawlers", readers=readers)
    assert (precision > 0.998, recall > 0.97) == (True, True), user_agents.table()
    _, recall_of_listed = user_agents.precision_and_recall(machines="listed crawlers", readers=readers)
    assert recall_of_listed > 0.999
    assert not user_agents.collections()["visitors"].taken_for_machines()


def test_hardly_a_reader_s_mail_program_or_browser_is_a_machine_when_it_loads_an_image():
    readers = [user_agents.collections()[name] for name in ("held-out browsers", "visitors")]
    wrong = [agent for found in readers for agent in found.taken_for_machines(OPEN)]
    assert len(wrong) <= 3, wrong


@pytest.mark.parametrize("user_agent", [GMAIL, YAHOO])
def test_an_image_proxy_opens_for_a_human_and_never_clicks(user_agent):
    assert judge_request(OPEN, "GET", user_agent).verdict is Verdict.HUMAN
    assert judge_request(OPEN, "GET", user_agent).reasons == ("image_proxy",)
    assert judge_request(CLICK, "GET", user_agent).verdict is Verdict.MACHINE


@pytest.mark.parametrize(
    ("kind", "method", "user_agent", "reasons"),
    [
        (OPEN, "GET", "Mozilla/5.0", ("mail_privacy_prefetch",)),
        (CLICK, "GET", "Mozilla/5.0", ("bare_user_agent",)),
        (CLICK, "GET", "", ("no_user_agent",)),
        (CLICK, "HEAD", BROWSERS[0], ("head_request",)),
        (CLICK, "GET", "Barracuda Sentinel (EE)", ("scanner", "no_browser")),
        (CLICK, "GET", "Microsoft Office Existence Discovery", ("office_link_check", "no_browser")),
        (CLICK, "HEAD", "python-requests/2.32.3", ("head_request", "crawler", "no_browser")),
        (
            CLICK,
            "GET",
            "Mozilla/5.0 (compatible; Safelinkcheck; +https://example.com/about)",
            ("names_itself", "no_browser"),
        ),
        (CLICK, "GET", "Dalvik/2.1.0 (Linux; U; Android 9; Phone)", ("no_browser",)),
    ],
)
def test_machines_are_told_with_every_reason(kind, method, user_agent, reasons):
    judgement = judge_request(kind, method, user_agent)
    assert judgement.verdict is Verdict.MACHINE
    assert judgement.reasons == reasons
