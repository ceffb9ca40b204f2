"""Cloud Logging's query language, as far as this project uses it: whether an entry matches a filter.

Strict: what is not certain here is an error, not a guess. Source: "Logging query language" (Google Cloud Logging
documentation): OR binds closer than AND, lines that stand side by side are joined by AND, comparisons of strings and
substrings ignore case, regular expressions do not, a comparison with a missing field does not hold, and one with an
array holds if it does for any element.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import LarkError

from tests.support.log_entries import Entry

Matches = Callable[[Entry], bool]

_GRAMMAR = r"""
?start: conjunction
conjunction: disjunction ("AND"? disjunction)*
disjunction: negation ("OR" negation)*
?negation: "NOT" negation -> negated
    | primary
?primary: "(" conjunction ")"
    | "log_id" "(" STRING ")" -> log_id
    | PATH OPERATOR literal -> comparison
    | PATH "=" "(" literal ("OR" literal)+ ")" -> one_of
    | PATH "=" literal -> equality
?literal: STRING | NUMBER | BOOLEAN | WORD
PATH: /[A-Za-z]\w*(\.[A-Za-z_]\w*)*/
OPERATOR: "!=" | ">=" | "<=" | "=~" | ">" | "<" | ":"
STRING: /"([^"\\]|\\["\\])*"/
NUMBER: /-?\d+(\.\d+)?/
BOOLEAN: "true" | "false"
WORD: /[A-Z]+/
COMMENT: /--[^\n]*/
%import common.WS
%ignore WS
%ignore COMMENT
"""

_FIELDS = frozenset(
    {"jsonPayload", "textPayload", "labels", "resource", "httpRequest", "severity", "timestamp", "trace"}
)
_SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")


class FilterError(ValueError):
    """The filter is wrong, or uses what is not known here."""


@lru_cache
def compiled(text: str) -> Matches:
    """Return the filter as a function. Raises FilterError."""
    try:
        tree = _PARSER.parse(text)
        matches: Matches = _ToFunctions().transform(tree)
    except LarkError as error:
        raise FilterError(f"{text}: {error}") from error
    return matches


@v_args(inline=True)
class _ToFunctions(Transformer[Token, Matches]):
    def conjunction(self, *parts: Matches) -> Matches:
        # Each part is asked, so that one of unclear meaning is an error whatever the others say.
        return lambda entry: min([part(entry) for part in parts])

    def disjunction(self, *parts: Matches) -> Matches:
        return lambda entry: max([part(entry) for part in parts])

    def negated(self, part: Matches) -> Matches:
        return lambda entry: not part(entry)

    def log_id(self, name: Token) -> Matches:
        wanted = _text_of(name).replace("/", "%2F")
        return lambda entry: entry["logName"].endswith(f"/logs/{wanted}")

    def equality(self, path: Token, literal: Token) -> Matches:
        return _Comparison(path, "=", literal)

    def comparison(self, path: Token, operator: Token, literal: Token) -> Matches:
        return _Comparison(path, operator, literal)

    def one_of(self, path: Token, *literals: Token) -> Matches:
        return self.disjunction(*(_Comparison(path, "=", literal) for literal in literals))


@dataclass(frozen=True, slots=True)
class _Comparison:
    path: str
    operator: str
    literal: Token

    def __post_init__(self) -> None:
        root = self.path.split(".")[0]
        if root not in _FIELDS:
            raise LarkError(f"{root} is not known here")
        if self.path == "severity" and _text_of(self.literal) not in _SEVERITIES:
            raise LarkError(f"{self.literal} is no severity")

    def __call__(self, entry: Entry) -> bool:
        found = list(_values(entry, self.path.split(".")))
        if self.operator == "!=" and len(found) > 1:
            raise FilterError(f"{self.path} is an array: what != means there is not known here")
        return max([self._holds(value) for value in found], default=False)

    def _holds(self, value: Any) -> bool:
        match self.operator:
            case "=":
                return self._is_equal(value)
            case "!=":
                return not self._is_equal(value)
            case ":":
                return _text_of(self.literal).lower() in str(value).lower()
            case "=~":
                return re.search(_text_of(self.literal), str(value)) is not None
        left, right = self._ordered(value)
        return bool({">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[self.operator])

    def _is_equal(self, value: Any) -> bool:
        if isinstance(value, bool):
            return self.literal.type == "BOOLEAN" and value == (self.literal == "true")
        if isinstance(value, int | float):
            return self.literal.type == "NUMBER" and float(value) == float(self.literal)
        if not isinstance(value, str):
            raise FilterError(f"{self.path} holds {value!r}: what = means there is not known here")
        return value.lower() == _text_of(self.literal).lower()

    def _ordered(self, value: Any) -> tuple[Any, Any]:
        if self.path == "severity":
            return _SEVERITIES.index(value), _SEVERITIES.index(_text_of(self.literal))
        if self.path == "timestamp":
            return datetime.fromisoformat(value), datetime.fromisoformat(_text_of(self.literal))
        if self.literal.type != "NUMBER" or isinstance(value, bool) or not isinstance(value, int | float):
            raise FilterError(f"{self.path} holds {value!r}: what {self.operator} means there is not known here")
        return value, float(self.literal)


def values_at(entry: Entry, path: str) -> list[Any]:
    """Return what lies at a path such as `jsonPayload.outcome`: nothing, one value, or an array's."""
    return list(_values(entry, path.split(".")))


def _values(value: Any, names: list[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _values(item, names)
    elif not names:
        if value is not None:
            yield value
    elif isinstance(value, dict) and names[0] in value:
        yield from _values(value[names[0]], names[1:])


def _text_of(literal: Token) -> str:
    return re.sub(r'\\(["\\])', r"\1", literal[1:-1]) if literal.type == "STRING" else str(literal)


_PARSER = Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False)
