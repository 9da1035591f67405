"""As much GraphQL as the wandb clients speak: parse a query, walk its selections over plain values.

Queries differ from client to client (aliases, fragments, fields). Answering what was selected, from one
description of the objects, serves them all; a table of canned answers would need one entry per version.
A field that the objects lack is an error, as on a real server, so that nothing is guessed silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

TOKEN = re.compile(
    r'\s+|,|#[^\n]*|(?P<token>\.\.\.|[!$()\[\]{}:=@|&]|"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[_A-Za-z]\w*)'
)
LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None}

# Types that answer to another name in `... on`: the clients ask for the interface or for the concrete type.
INTERFACES = {"ArtifactSequence": {"ArtifactCollection"}}

Resolver = Callable[[dict[str, Any]], Any]
Node = Mapping[str, Any]  # values, nodes, lists of them, or resolvers that take the field's arguments


class GraphQLError(Exception):
    """An answer of the API with an `errors` list."""

    def __init__(self, message: str, status: int = 400, unknown: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.unknown = unknown  # the server lacks something, not the request


@dataclass
class Field:
    """A selected field: `alias: name(arguments) {selections}`."""

    name: str
    alias: str
    arguments: dict[str, Any]
    directives: dict[str, dict[str, Any]]
    selections: list[Field | Spread]


@dataclass
class Spread:
    """A fragment: `...Name`, or inline with `on` its type; inline selections may stand alone."""

    fragment: str | None
    on: str | None
    directives: dict[str, dict[str, Any]]
    selections: list[Field | Spread]


@dataclass
class Document:
    """One parsed request: its only operation and the fragments it names."""

    kind: str = "query"
    name: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)
    selections: list[Field | Spread] = field(default_factory=list)
    fragments: dict[str, Spread] = field(default_factory=dict)


@dataclass(frozen=True)
class Variable:
    """`$name` in an argument, replaced at execution."""

    name: str


class Parser:
    """Recursive descent over the tokens of one document."""

    def __init__(self, text: str) -> None:
        self.tokens = [match["token"] for match in TOKEN.finditer(text) if match["token"]]
        self.position = 0

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> str:
        token = self.peek()
        if not token or (expected is not None and token != expected):
            raise GraphQLError(f"Syntax error: expected {expected or 'more'}, found {token or 'the end'}")
        self.position += 1
        return token

    def accept(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self.position += 1
        return True

    def document(self) -> Document:
        document = Document()
        while self.peek():
            if self.accept("fragment"):
                name = self.take()
                self.take("on")
                on, directives = self.take(), self.directives()
                document.fragments[name] = Spread(None, on, directives, self.selections())
                continue
            if self.peek() != "{":
                document.kind = self.take()
                document.name = self.take() if self.peek() not in "({@" else ""
                document.defaults = self.variables()
                self.directives()
            document.selections = self.selections()
        return document

    def variables(self) -> dict[str, Any]:
        """The declared variables' defaults; their types are of no interest here."""
        defaults: dict[str, Any] = {}
        if self.accept("("):
            while not self.accept(")"):
                self.take("$")
                name = self.take()
                self.take(":")
                while self.peek() in ("[", "]", "!") or self.tokens[self.position - 1] in (":", "["):
                    self.take()
                if self.accept("="):
                    defaults[name] = self.value()
        return defaults

    def selections(self) -> list[Field | Spread]:
        found: list[Field | Spread] = []
        self.take("{")
        while not self.accept("}"):
            found.append(self.spread() if self.accept("...") else self.field())
        return found

    def spread(self) -> Spread:
        if self.peek() not in ("on", "{", "@"):
            return Spread(self.take(), None, self.directives(), [])
        on = self.take() if self.accept("on") else None
        return Spread(None, on, self.directives(), self.selections())

    def field(self) -> Field:
        alias = name = self.take()
        if self.accept(":"):
            name = self.take()
        arguments, directives = self.arguments(), self.directives()
        return Field(name, alias, arguments, directives, self.selections() if self.peek() == "{" else [])

    def directives(self) -> dict[str, dict[str, Any]]:
        found = {}
        while self.accept("@"):
            name = self.take()
            found[name] = self.arguments()
        return found

    def arguments(self) -> dict[str, Any]:
        return self.pairs(")") if self.accept("(") else {}

    def pairs(self, end: str) -> dict[str, Any]:
        found = {}
        while not self.accept(end):
            name = self.take()
            self.take(":")
            found[name] = self.value()
        return found

    def value(self) -> Any:
        token = self.take()
        if token == "$":
            return Variable(self.take())
        if token == "{":
            return self.pairs("}")
        if token == "[":
            items = []
            while not self.accept("]"):
                items.append(self.value())
            return items
        if token.startswith('"'):
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        return LITERALS.get(token, number(token) if token[0] in "-0123456789" else token)  # or an enum


def number(token: str) -> int | float:
    """A number literal."""
    return float(token) if re.search(r"[.eE]", token) else int(token)


def parse(text: str) -> Document:
    """Parse one request."""
    return Parser(text).document()


@dataclass
class Execution:
    """One request being answered."""

    document: Document
    variables: dict[str, Any]

    def run(self, root: Node) -> dict[str, Any]:
        """The `data` of the answer."""
        self.variables = {**self.document.defaults, **self.variables}
        answer: dict[str, Any] = {}
        self._select(root, self.document.selections, answer)
        return answer

    def _select(self, node: Node, selections: list[Field | Spread], answer: dict[str, Any]) -> None:
        typename = node["__typename"]
        for selection in selections:
            if not self._included(selection.directives):
                continue
            if isinstance(selection, Spread):
                spread = selection
                if selection.fragment is not None:
                    spread = self.document.fragments[selection.fragment]
                if spread.on in {None, typename, *INTERFACES.get(typename, ())}:
                    self._select(node, spread.selections, answer)
                continue
            if selection.name not in node:
                raise GraphQLError(f"Cannot query field '{selection.name}' on type '{typename}'.", unknown=True)
            value = node[selection.name]
            if callable(value):
                value = value(self._resolved(selection.arguments))
            self._merge(answer, selection.alias, self._complete(value, selection, typename))

    def _complete(self, value: Any, selection: Field, typename: str) -> Any:
        if isinstance(value, list) and selection.selections:
            return [self._complete(item, selection, typename) for item in value]
        if value is None or not selection.selections:
            return value
        answer: dict[str, Any] = {}
        self._select(value, selection.selections, answer)
        return answer

    def _merge(self, answer: dict[str, Any], alias: str, value: Any) -> None:
        """Two fragments may select the same object: their fields come together."""
        if isinstance(answer.get(alias), dict) and isinstance(value, dict):
            for key, inner in value.items():
                self._merge(answer[alias], key, inner)
        else:
            answer[alias] = value

    def _included(self, directives: dict[str, dict[str, Any]]) -> bool:
        include = self._resolved(directives.get("include", {})).get("if", True)
        return bool(include) and not self._resolved(directives.get("skip", {})).get("if", False)

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, Variable):
            return self.variables.get(value.name)
        if isinstance(value, list):
            return [self._resolved(item) for item in value]
        if isinstance(value, dict):
            return {key: self._resolved(item) for key, item in value.items()}
        return value
