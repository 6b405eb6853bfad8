"""Read a selection that a person types, such as `level=commune & province="Thái Nguyên" & !name~phu`.

    selection  = all *("|" all)
    all        = one *("&" one)
    one        = "!" one / "(" selection ")" / fact comparison value *("," value)
    comparison = "=" / "!=" / "~" (contains) / "^=" (starts with) / ">=" / "<="

A value with spaces or signs is written in quotes, single or double; several values mean any of them. A fact may have a
suffix as in `F` (inventories/selecting.py) before `=`: `name__contains=phu` is `name~phu`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from inventories.errors import InventoryError
from inventories.selecting import All, Comparison, Either, Not, Selection, condition

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<sign>[&|()!,](?!=)) | (?P<comparison>!=|\^=|>=|<=|=|~)
        | "(?P<double>[^"]*)" | '(?P<single>[^']*)' | (?P<word>[^\s&|()!,=<>~^"]+)
    )""",
    re.VERBOSE,
)
_COMPARISONS = {
    "=": Comparison.IN,
    "!=": Comparison.IN,
    "~": Comparison.CONTAINS,
    "^=": Comparison.STARTS_WITH,
    ">=": Comparison.AT_LEAST,
    "<=": Comparison.AT_MOST,
}
_DEEPEST = 50  # parentheses and exclamation marks inside each other; nobody reads that many


@dataclass(frozen=True, kw_only=True)
class _Token:
    """A piece of a selection's text: a sign, a comparison, or a word (quoted or not)."""

    text: str
    column: int
    is_word: bool = False


def parse(text: str) -> Selection:
    """Return the selection that a text asks for; InventoryError CGC-130 with the column where it cannot be read."""
    return _Parser(text).parse()


class _Parser:
    """Reads one text by the grammar above, a function a rule."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokens())
        self.at = 0
        self.depth = 0

    def _tokens(self) -> Iterable[_Token]:
        end = len(self.text.rstrip())
        at = 0
        while at < end:
            match = _TOKEN.match(self.text, at)
            if match is None or match.lastgroup is None:
                start = end - len(self.text[at:end].lstrip())
                what, remedy = f"{self.text[start]!r} has no meaning here", "write a value with signs in quotes"
                if self.text[start] in "\"'":
                    what, remedy = "a quote is opened and never closed", f"close it with {self.text[start]}"
                raise self._error(start + 1, what, remedy)
            kind = match.lastgroup
            is_word = kind in ("double", "single", "word")
            start = match.start(kind) - (kind in ("double", "single"))
            yield _Token(text=match[kind], column=start + 1, is_word=is_word)
            at = match.end()

    def _error(self, column: int, what: str, remedy: str) -> InventoryError:
        return InventoryError("CGC-130", what, where=self._place(column), remedy=remedy)

    def _place(self, column: int) -> str:
        return f"{self.text!r}, column {column}"

    @property
    def next(self) -> _Token:
        """The token to be read; an empty one at the end."""
        if self.at < len(self.tokens):
            return self.tokens[self.at]
        return _Token(text="", column=len(self.text.rstrip()) + 1)

    def _takes(self, *signs: str) -> _Token | None:
        token = self.next
        if token.is_word or token.text not in signs or not token.text:
            return None
        self.at += 1
        return token

    def parse(self) -> Selection:
        found = self._either()
        if self.at < len(self.tokens):
            token = self.next
            what = f"{token.text!r} comes after a complete condition"
            remedy = "join conditions with & or |, and write a value with spaces in quotes"
            raise self._error(token.column, what, remedy)
        return found

    def _either(self) -> Selection:
        parts = [self._all()]
        while self._takes("|"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Either(parts=tuple(parts))

    def _all(self) -> Selection:
        parts = [self._one()]
        while self._takes("&"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else All(parts=tuple(parts))

    def _one(self) -> Selection:
        opened = self._takes("!", "(")
        if opened is None:
            return self._condition()
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._error(opened.column, f"this lies more than {_DEEPEST} deep", "ask for it in a simpler way")
        if opened.text == "!":
            found: Selection = Not(part=self._one())
        else:
            found = self._either()
            if not self._takes(")"):
                raise self._error(opened.column, "this parenthesis is never closed", "close it with )")
        self.depth -= 1
        return found

    def _condition(self) -> Selection:
        fact = self._word("a fact", "write fact=value, such as level=commune")
        comparison = self._takes(*_COMPARISONS)
        if comparison is None:
            remedy = f"write {fact.text}=…; the comparisons are {' '.join(_COMPARISONS)}"
            raise self._error(self.next.column, f"{fact.text!r} is not compared with anything", remedy)
        values = [self._word("a value", "write what it shall be").text]
        while self._takes(","):
            values.append(self._word("a value", "write another value after the comma, or leave the comma out").text)
        name, _, suffix = fact.text.partition("__")
        how = suffix if suffix and comparison.text in ("=", "!=") else _COMPARISONS[comparison.text]
        found = condition(name, how, tuple(values), self._place(fact.column))
        return Not(part=found) if comparison.text == "!=" else found

    def _word(self, what: str, remedy: str) -> _Token:
        token = self.next
        if not token.is_word:
            there = repr(token.text) if token.text else "the end"
            raise self._error(token.column, f"{what} is missing: {there} stands in its place", remedy)
        self.at += 1
        return token
