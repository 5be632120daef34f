"""What people call the columns of an address list, in Norwegian, Swedish, Danish, Dutch, German and English.

Headings are compared without case, accents, spaces and punctuation (`heading_key`), so that "E-postadresse",
"e_post adresse" and "EPOSTADRESSE" are one. The lists are exact on purpose: "Samtykke sporing" or "Samtykkedato" must
never pass for consent to e-marketing.
"""

import re
import unicodedata

_SPELLED = str.maketrans({"æ": "ae", "ø": "o", "å": "a", "ß": "ss", "đ": "d", "ł": "l", "þ": "th", "ð": "d"})


def heading_key(heading: str) -> str:
    """Return the heading as `a-z0-9` only."""
    return heading_slug(heading).replace("_", "")


def heading_slug(heading: str) -> str:
    """Return the heading as the name of an extra field: `a-z0-9` with single underscores, at most 60 characters."""
    folded = unicodedata.normalize("NFKD", heading.casefold().translate(_SPELLED))
    ascii_only = "".join(char for char in folded if not unicodedata.combining(char))
    return re.sub(r"[^a-z0-9]+", "_", ascii_only).strip("_")[:60].strip("_")


_WORDS = {
    "external_id": """
        kontakt-id kontaktid person-id personid kunde-id crm-id ekstern-id extern-id externid external-id id contact-id
        customer-id kund-id klant-id relatie-id kontakt-nr kontaktnummer record-id kunden-id unique-id guid uuid
        """,
    "name": """
        navn fullt-navn fulle-navn kontakt kontaktnavn kontaktperson person personnavn namn fullständigt-namn
        kontaktnamn fulde-navn naam volledige-naam contactpersoon name vollständiger-name ansprechpartner full-name
        fullname contact contact-name contact-person customer-name display-name mottaker mottager mottagare recipient
        """,
    "first_name": """
        fornavn for-navn förnamn voornaam vorname first-name firstname given-name forename
        """,
    "last_name": """
        etternavn efternavn efternamn achternaam nachname familienname last-name lastname surname family-name slektsnavn
        """,
    "email": """
        e-post epost e-postadresse e-post-adresse epost-1 e-post-1 e-postadress mail mail-adresse mailadresse mailadress
        e-mail email e-mail-1
        e-mailadresse e-mailadres e-mail-adresse e-mail-address email-address mejl e-mejl mejladress
        mailadres mail-address epostadr primary-email
        """,
    "cellphone": """
        mobil mobiltelefon mobilnummer mobilnr mobil-nr mobiltlf mobil-tlf mobiltelefonnummer mobile mobile-phone
        mobile-number mobile-no cell cellphone cell-phone mobiel mobiele-telefoon mobiel-nummer gsm handy handynummer
        mobilfunk mobilfunknummer sms sms-nummer
        """,
    "direct": """
        direkte direktenummer direktetelefon direkte-telefon direkttelefon direktnummer direct direct-phone direct-line
        doorkiesnummer durchwahl direkttlf
        """,
    "phone": """
        telefon telefonnummer telefonnr tlf tlfnr tlf-nr tlf-nummer phone phone-number telephone tel telnr telefoon
        telefoonnummer rufnummer telefonnumer
        """,
    "title": """
        tittel titel title job-title jobtitle stillingstittel jobbtitel functie anrede-titel funktion berufsbezeichnung
        """,
    "position": "stilling position rolle roll befattning positie job-role role",
    "company": """
        firma firmanavn firmanamn firmenname bedrift bedriftsnavn selskap selskapsnavn virksomhed virksomhet företag
        företagsnamn foretak organisasjon organisation organization organisatie bedrijf bedrijfsnaam unternehmen company
        company-name account account-name arbeidsgiver arbetsgivare employer
        """,
    "category": "kategori kategorier categorie kategorie category segment kundekategori kundkategori kundenkategorie",
    "business": "bransje bransch branche branchen business industry sektor sector",
    "number": """
        nummer nr number no kundenummer kundenr kunde-nr kundnummer kundnr klantnummer kundennummer customer-number
        customer-no medlemsnummer medlemsnr member-number
        """,
    "language": "språk språkkode sprog sprogkode taal taalcode sprache sprachcode language language-code lang locale",
    "country": "land landkode landskode landcode länderkode country country-code nation",
    "city": "by sted poststed stad ort postort plaats woonplaats stadt wohnort city town bopel",
    "consent": """
        samtykke samtykke-e-markedsføring samtykke-til-e-markedsføring samtykke-emarketing samtykke-e-marketing
        e-markedsføring emarkedsføring e-marketing samtykke-markedsføring samtykke-til-markedsføring
        samtykke-e-post samtykke-epost samtycke samtycke-e-marknadsföring samtycke-till-e-marknadsföring
        samtycke-marknadsföring samtycke-till-marknadsföring e-marknadsföring
        samtykke-til-e-mail samtykke-e-mail toestemming toestemming-e-marketing toestemming-marketing
        toestemming-voor-e-marketing einwilligung einwilligung-e-marketing einwilligung-marketing
        e-mail-einwilligung werbeeinwilligung consent e-marketing-consent email-consent marketing-consent
        consent-e-marketing consent-email consent-marketing opt-in optin email-opt-in newsletter-consent
        """,
    "subscription": """
        nyhetsbrev nyhedsbrev nieuwsbrief newsletter news-letter newsletters nyhetsbrever nyhetsbrevet kundebrev
        invitasjon invitasjoner inbjudan inbjudningar invitation invitations invitationer uitnodiging uitnodigingen
        einladung einladungen produktnyheter produktnytt product-news productnieuws produktneuheiten produktnyheder
        """,
}

FIELD_OF_HEADING = {heading_key(word): field for field, words in _WORDS.items() for word in words.split()}
"""Field by `heading_key`. `phone` and `subscription` are not fields yet: see `headings.propose_mapping`."""
