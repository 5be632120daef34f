"""Short answers in a cell, in six languages: yes or no, a language, a country."""

import re

_ANSWER_WORDS = {
    True: """
        ja j yes y ye x 1 1.0 true t on ok sann sant sand sandt wahr waar juist v ✓ ✔ ☑ enig accepted
        gitt givet gegeben gegeven given granted abonnert abonnent subscribed opt-in optin
        påmeldt tilmeldt anmäld angemeldet aangemeld
        """,
    False: """
        nei nej nee nein no n 0 0.0 false f off usann usant falsk falskt falsch onwaar ✗ ✘ ☐
        avmeldt afmeldt avanmäld abgemeldet afgemeld unsubscribed opt-out optout
        reservert trukket avslått denied withdrawn
        """,
}
_ANSWERS = {word: told for told, words in _ANSWER_WORDS.items() for word in words.split()}

_LANGUAGE_NAMES = {
    "nb": "no norsk bokmål norsk-bokmål norwegian norwegisch noors norska nor nob",
    "nn": "nynorsk nno",
    "sv": "svensk svenska swedish schwedisch zweeds swe",
    "da": "dansk danska danish dänisch deens dan",
    "nl": "nederlandsk nederländska nederlandsk hollandsk holländska dutch niederländisch nederlands nld dut",
    "de": "tysk tyska german deutsch duits deu ger",
    "en": "engelsk engelska english englisch engels eng",
    "fi": "finsk finska finnish finnisch fins suomi fin",
    "fr": "fransk franska french französisch frans français fra fre",
    "pl": "polsk polska polish polnisch pools polski pol",
    "is": "islandsk isländska icelandic isländisch ijslands isl",
}
_LANGUAGES = {name: code for code, names in _LANGUAGE_NAMES.items() for name in names.split()}
# ISO 639-1: a code outside it is a slip of the hand ("dk" for Danish), not a language.
_CODE_LIST = """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de
    dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id
    ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu
    lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu
    rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr
    ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
_CODES = frozenset(_CODE_LIST.split())
_TAG = re.compile(r"([a-z]{2})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|[0-9]{3}))?", re.IGNORECASE)

_COUNTRY_NAMES = {
    "NO": "norge noreg norway norwegen noorwegen",
    "SE": "sverige sweden schweden zweden",
    "DK": "danmark denmark dänemark denemarken",
    "FI": "finland finnland suomi",
    "IS": "island iceland ijsland",
    "NL": "nederland nederländerna netherlands niederlande holland",
    "DE": "tyskland germany deutschland duitsland",
    "GB": "storbritannia storbritannien uk england grossbritannien großbritannien",
    "FR": "frankrike frankrig france frankreich frankrijk",
    "PL": "polen poland polska",
    "BE": "belgia belgien belgium belgië",
    "AT": "østerrike österrike østrig austria österreich oostenrijk",
    "CH": "sveits schweiz switzerland zwitserland",
    "US": "usa",
}
_COUNTRIES = {name: code for code, names in _COUNTRY_NAMES.items() for name in names.split()}


def yes_or_no(text: str) -> bool | None:
    """Return what the answer says, or None where it says neither; what is unknown is never consent."""
    return _ANSWERS.get(text.strip().casefold())


def language_tag(text: str) -> str | None:
    """Return the BCP 47 tag of a code or of a language's name, or None. Norwegian without a variety is `nb`."""
    plain = text.strip()
    named = _LANGUAGES.get(plain.casefold().replace(" ", "-"))
    if named is not None:
        return named
    tag = _TAG.fullmatch(plain)
    if tag is None or tag[1].lower() not in _CODES:
        return None
    language = "nb" if tag[1].lower() == "no" else tag[1].lower()
    return "-".join(part for part in (language, tag[2] and tag[2].title(), tag[3] and tag[3].upper()) if part)


def country_code(text: str) -> str | None:
    """Return the ISO 3166 alpha-2 code of a code or of a country's name, or None."""
    plain = text.strip()
    if len(plain) == 2 and plain.isascii() and plain.isalpha() and plain.lower() != "uk":
        return plain.upper()
    return _COUNTRIES.get(plain.casefold())
