"""Makes values for which users say a name and services expect a code, such as countries and airports."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from train.everyday.tasks import Maker, PhrasedValue


def _codes(text: str) -> dict[str, str]:
    """Parse a list of codes: "DE Germany, FR France" -> {"Germany": "DE", "France": "FR"}."""
    pairs = (item.split(" ", 1) for item in text.split(", "))
    return {name: code for code, name in pairs}


COUNTRIES = _codes(
    "DE Germany, FR France, ES Spain, IT Italy, PT Portugal, PL Poland, AT Austria, SE Sweden, NO Norway, "
    "FI Finland, DK Denmark, IE Ireland, BE Belgium, NL the Netherlands, CH Switzerland, GR Greece, "
    "TR Turkey, JP Japan, CN China, IN India, BR Brazil, MX Mexico, CA Canada, AU Australia, NZ New Zealand, "
    "US the United States, GB the United Kingdom, KR South Korea, ZA South Africa, EG Egypt, AR Argentina, "
    "CL Chile, KE Kenya, NG Nigeria, MA Morocco, TH Thailand, VN Vietnam, ID Indonesia, UA Ukraine, "
    "HU Hungary, RO Romania, IS Iceland"
)
CURRENCIES = _codes(
    "USD US dollars, EUR euros, GBP British pounds, JPY Japanese yen, CHF Swiss francs, CAD Canadian dollars, "
    "AUD Australian dollars, INR Indian rupees, CNY Chinese yuan, SEK Swedish kronor, NOK Norwegian kroner, "
    "TRY Turkish lira, MXN Mexican pesos, BRL Brazilian reais, KRW Korean won, PLN Polish zloty, "
    "ZAR South African rand"
)
LANGUAGES = _codes(
    "en English, de German, fr French, es Spanish, it Italian, pt Portuguese, nl Dutch, sv Swedish, "
    "pl Polish, tr Turkish, ja Japanese, zh Chinese, ko Korean, ar Arabic, hi Hindi, el Greek, fi Finnish, "
    "ru Russian"
)
AIRPORTS = _codes(
    "FRA Frankfurt, MUC Munich, AMS Amsterdam, MAD Madrid, BCN Barcelona, FCO Rome, LIS Lisbon, VIE Vienna, "
    "ZRH Zurich, CPH Copenhagen, OSL Oslo, DUB Dublin, IST Istanbul, SIN Singapore, DEN Denver, BOS Boston, "
    "SEA Seattle, MIA Miami, SFO San Francisco, LAX Los Angeles, YYZ Toronto, SYD Sydney, HKG Hong Kong"
)


def coded(codes: Mapping[str, str]) -> Maker:
    """Make values whose argument is the code. The request has the name or, in 15 % of the cases, the code itself."""

    def sample(random: Random) -> PhrasedValue:
        name = random.choice(list(codes))
        return PhrasedValue(codes[name], codes[name] if random.random() < 0.15 else name)

    return Maker({"type": "string"}, sample)


COUNTRY, CURRENCY, LANGUAGE, AIRPORT = (coded(codes) for codes in (COUNTRIES, CURRENCIES, LANGUAGES, AIRPORTS))
