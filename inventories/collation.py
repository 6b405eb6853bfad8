"""The order in which Vietnamese names are read, and the plain form in which people type them.

The order is CLDR's for `vi` (CLDR 48, common/collation/vi.xml, type `standard`) with its option `kn` (UTS #35, part 5:
numbers by their value, so that Quận 2 comes before Quận 10). Letters decide first (a ă â b c d đ e ê … o ô ơ … u ư …,
with f j w z in their Latin places), then tones (level, huyền, hỏi, ngã, sắc, nặng), then case, small before capital. As
there, all letters of a name are compared before any of its tones: Hòa An comes before Hoa Bình, which dictionaries that
sort syllable by syllable would turn round. What sorts by CLDR (browsers, PostgreSQL with ICU, spreadsheets) agrees.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

LETTERS = "aăâbcdđeêfghijklmnoôơpqrstuưvwxyz"
TONES = "\u0300\u0309\u0303\u0301\u0323"  # vi.xml: `&̀<<̉<<̃<<́<<̣`; no mark at all comes before them
# What CLDR's root collation has before digits, in its order (allkeys_CLDR.txt): space, punctuation, symbols.
BEFORE_DIGITS = " _-–—,;:!?.'‘’\"“”«»()[]{}@*/\\&#%`^+<=>|~$"
_DIGITS = re.compile(r"([0-9]+)")
_NOT_IN_WORDS = re.compile(r"[^a-z0-9]+")
_KEPT = 40_000  # the names of two whole nations
_LOWEST = 0x20  # of weights that must be above a plain one
_PLAIN = "\x01"  # no tone; a small letter
_CAPITAL = "\x02"
_WEIGHTS = {character: chr(_LOWEST + index) for index, character in enumerate([*BEFORE_DIGITS, "0", *LETTERS])}
_NUMBER = _WEIGHTS["0"]
_ELSEWHERE = chr(_LOWEST + len(_WEIGHTS))  # other scripts, by code point, after everything else
_MARKS = {mark: chr(_LOWEST + index) for index, mark in enumerate(TONES)}
_OTHER_MARK = chr(_LOWEST + len(_MARKS))  # likewise

SortKey = tuple[str, str, str, str]


@lru_cache(_KEPT)
def sort_key(name: str) -> SortKey:
    """Return the key that puts names in order: letters, tones, case and, so that no two are equal, the spelling.

    A name may be in any normalization form; canonically equivalent names have the same key.
    """
    composed = unicodedata.normalize("NFC", name)
    letters, tones, cases = [], [], []
    for index, part in enumerate(_DIGITS.split(composed)):
        if index % 2:
            value = part.lstrip("0")
            letters.append(f"{_NUMBER}{chr(_LOWEST + len(value))}{value}")
            tones.append(_PLAIN)
            cases.append(_PLAIN)
            continue
        for character in part:
            letter, tone, case = _weights_of(character)
            letters.append(letter)
            tones.append(tone)
            cases.append(case)
    return "".join(letters), "".join(tones), "".join(cases), composed


@lru_cache(maxsize=1024)
def _weights_of(character: str) -> tuple[str, str, str]:
    """Return what a character weighs as a letter, by its tone and other marks, and by its case."""
    small = character.lower()
    case = _PLAIN if small == character else _CAPITAL
    parts = unicodedata.normalize("NFD", small)
    marks = "".join(_MARKS[part] for part in parts if part in _MARKS)
    letter = unicodedata.normalize("NFC", "".join(part for part in parts if part not in _MARKS))
    if letter in _WEIGHTS:
        return _WEIGHTS[letter], _PLAIN + marks, case
    rest = unicodedata.normalize("NFD", letter)
    marks += "".join(_OTHER_MARK + part for part in rest if unicodedata.combining(part))
    weight = "".join(_WEIGHTS.get(part, _ELSEWHERE + part) for part in rest if not unicodedata.combining(part))
    return weight, _PLAIN * bool(weight) + marks, case


@lru_cache(_KEPT)
def plain_form(name: str) -> str:
    """Return a name as people type it in a hurry: small letters without any mark, words with one space between.

    `Thành phố Đà Nẵng`, `THANH PHO DA NANG` and `thanh-pho-da-nang` have one plain form.
    """
    decomposed = unicodedata.normalize("NFD", name).lower().replace("đ", "d")
    bare = "".join(part for part in decomposed if not unicodedata.combining(part))
    return _NOT_IN_WORDS.sub(" ", bare).strip()
