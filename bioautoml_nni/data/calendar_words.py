"""What months and days of the week are called in six languages, in full, cut short, and in Roman numerals."""

from __future__ import annotations

MONTHS = (
    "january januar janvier enero janeiro gennaio januari jänner jaenner",
    "february februar février fevrier febrero fevereiro febbraio", "march märz maerz mars marzo março marco maart mrz",
    "april avril abril aprile", "may mai mayo maio maggio mei", "june juni juin junio junho giugno",
    "july juli juillet julio julho luglio", "august août aout agosto augustus",
    "september septembre septiembre setembro settembre", "october oktober octobre octubre outubro ottobre",
    "november novembre noviembre novembro", "december dezember décembre decembre diciembre dezembro dicembre",
)  # fmt: skip

ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")

_DAYS = (
    "monday montag lundi lunes segunda lunedì", "tuesday dienstag mardi martes terça martedì",
    "wednesday mittwoch mercredi miércoles quarta mercoledì", "thursday donnerstag jeudi jueves quinta giovedì",
    "friday freitag vendredi viernes sexta venerdì", "saturday samstag sonnabend samedi sábado sabato",
    "sunday sonntag dimanche domingo domenica", "mo di mi do fr sa so",
)  # fmt: skip

WEEKDAYS = [name for names in _DAYS for name in names.split()]

_FULL = {name: number for number, names in enumerate(MONTHS, start=1) for name in names.split()}


def _abbreviations() -> dict[str, int]:
    """Return what months are cut short to: three letters or more that no name of another month begins with."""
    found: dict[str, set[int]] = {}
    for name, number in _FULL.items():
        for end in range(3, len(name)):
            found.setdefault(name[:end], set()).add(number)
    return {short: numbers.pop() for short, numbers in found.items() if len(numbers) == 1}


_NUMBERS = {**_abbreviations(), **_FULL}


def month_number(word: str) -> int | None:
    """Return the month that a word in small letters names, None if it names none or several."""
    if word in _NUMBERS:
        return _NUMBERS[word]
    return ROMAN.index(word) + 1 if word in ROMAN else None


def is_weekday(word: str) -> bool:
    """Whether a word in small letters is a day of the week, in full or its first letters, and no month."""
    return month_number(word) is None and (
        word in WEEKDAYS or (len(word) >= 3 and any(name.startswith(word) for name in WEEKDAYS))
    )
