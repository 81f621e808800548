"""A venue's dialect: a TOML file that adds to or changes the dictionary of a version.

::

    [fields.9001]                       # a new field: number, name, type, enumerated values
    name = "RouteHint"
    type = "CHAR"
    values = { A = "AUTO", M = "MANUAL" }

    [fields.Side]                       # a known field, by name or number: change what differs
    values = { Q = "QUIET" }            # added to those there are
    remove_values = ["G"]

    [messages.D]                        # a known message (or a new one, with name and category)
    add = ["RouteHint!", "<NoLegs LegSymbol! LegSide >"]     # ! is required, < > a group
    require = ["Account"]
    optional = ["HandlInst"]
    remove = ["MinQty"]
    groups.NoPartyIDs.require = ["PartyRole"]                # the same four for a group's entries

    [header]                            # the same for [header] and [trailer]
    add = ["9002"]
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from fix.dictionary.layout import Layout, Node, format_layout, parse_layout, resolve
from fix.dictionary.model import DataDictionary, Source, did_you_mean, escape
from fix.errors import DictionaryError

_SECTIONS = ("fields", "messages", "header", "trailer")
_FIELD_KEYS = ("name", "type", "values", "remove_values")
_LAYOUT_KEYS = ("add", "remove", "require", "optional", "groups")
_MESSAGE_KEYS = (*_LAYOUT_KEYS, "name", "category")

Table = Mapping[str, Any]


def overlay(dictionary: DataDictionary, changes: str | Path | Table, where: str = "") -> DataDictionary:
    """A new dictionary: ``dictionary`` with a file's (or mapping's) changes; ``where`` names it in errors.

    Raises
    ------
    DictionaryError
        With ``file: key`` and the nearest names where something is not known.
    """
    found, table = read_overlay(changes)
    return DataDictionary(_Overlay(dictionary, where or found).apply(table))


def read_overlay(changes: str | Path | Table) -> tuple[str, Table]:
    """(what to call it in errors, its table)."""
    if isinstance(changes, Mapping):
        return "overlay", changes
    try:
        with Path(changes).open("rb") as file:
            return str(changes), tomllib.load(file)
    except OSError as error:
        raise DictionaryError(f"{changes}: not readable: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise DictionaryError(f"{changes}: no TOML: {error}") from error


class _Overlay:
    """One application of an overlay to a copy of a dictionary's source."""

    def __init__(self, dictionary: DataDictionary, where: str) -> None:
        source = dictionary.source
        self.where = where
        self.base = dictionary
        self.source = msgspec.structs.replace(source, fields=dict(source.fields), messages=dict(source.messages))
        self.names: dict[str, int] = {dictionary.name(tag): tag for tag in dictionary.tags}

    def apply(self, table: Table) -> Source:
        """Fields first: messages may name the new ones."""
        self.known_keys(table, _SECTIONS, "")
        for key, change in self.tables(table, "fields").items():
            self.field(key, change)
        source = self.source
        for msg_type, change in self.tables(table, "messages").items():
            self.message(msg_type, change)
        for part in ("header", "trailer"):
            if part in table:
                change = self.table(table[part], part)
                self.known_keys(change, _LAYOUT_KEYS, part)
                layout = resolve(parse_layout(getattr(source, part).split()), self.base.components)
                setattr(source, part, format_layout(self.edit(layout, change, part)))
        return source

    # --------------------------------------------------------------- reading

    def fail(self, key: str, what: str) -> DictionaryError:
        return DictionaryError(f"{self.where}: {key}: {what}")

    def table(self, value: object, key: str) -> Table:
        if not isinstance(value, Mapping):
            raise self.fail(key, f"must be a table, was {value!r}")
        return value

    def tables(self, table: Table, key: str) -> dict[str, Table]:
        found = self.table(table.get(key, {}), key)
        return {str(name): self.table(value, f"{key}.{name}") for name, value in found.items()}

    def known_keys(self, table: Table, known: Iterable[str], key: str) -> None:
        allowed = dict.fromkeys(known)
        for name in table:
            if name not in allowed:
                path = f"{key}.{name}" if key else str(name)
                raise self.fail(path, f"unknown key{did_you_mean(str(name), allowed)}; there are {', '.join(allowed)}")

    def words(self, table: Table, name: str, key: str) -> list[str]:
        value = table.get(name, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.fail(f"{key}.{name}", f"must be a list of texts, was {value!r}")
        return value

    def tag(self, word: str, key: str) -> int:
        """Number of a field given by number or name."""
        if word.isascii() and word.isdigit():
            if int(word) not in self.source.fields:
                raise self.fail(key, f"{self.source.version} has no field {word}; define it under [fields.{word}]")
            return int(word)
        found = self.names.get(word)
        if found is None:
            raise self.fail(key, f"no field {word!r}{did_you_mean(word, self.names)}")
        return found

    # ---------------------------------------------------------------- fields

    def field(self, name: str, change: Table) -> None:
        """Add or change one field."""
        key = f"fields.{name}"
        self.known_keys(change, _FIELD_KEYS, key)
        fresh = name.isascii() and name.isdigit() and int(name) not in self.source.fields
        if fresh and (int(name) < 1 or not {"name", "type"} <= change.keys()):
            raise self.fail(key, "a new field needs a positive number, name and type")
        tag = int(name) if fresh else self.tag(name, key)
        old = self.base.field(tag)
        label = str(change.get("name", old.name if old else ""))
        kind = str(change.get("type", old.type if old else "")).upper()
        if not label.isidentifier() or not kind.isalnum():
            raise self.fail(key, f"name and type must be words, were {label!r} and {kind!r}")
        if self.names.get(label, tag) != tag:
            raise self.fail(key, f"the name {label!r} is that of field {self.names[label]}; choose another")
        values = dict(old.values) if old else {}
        for value in self.words(change, "remove_values", key):
            if values.pop(value, None) is None:
                raise self.fail(f"{key}.remove_values", f"{label} has no value {value!r}{did_you_mean(value, values)}")
        values.update({str(k): str(v) for k, v in self.table(change.get("values", {}), f"{key}.values").items()})
        words = [f"{escape(value)}={escape(text)}" for value, text in sorted(values.items())]
        self.source.fields[tag] = " ".join([label, kind, *words])
        self.names[label] = tag

    # --------------------------------------------------------------- layouts

    def message(self, msg_type: str, change: Table) -> None:
        """Add or change one message."""
        key = f"messages.{msg_type}"
        self.known_keys(change, _MESSAGE_KEYS, key)
        if msg_type in self.source.messages:
            name, category, *_ = self.source.messages[msg_type].split()
            layout = resolve(self.base.layout(msg_type), self.base.components)
        else:
            if "name" not in change or not msg_type or not msg_type.isalnum():
                near = did_you_mean(msg_type, self.source.messages)
                raise self.fail(key, f"{self.source.version} has no such message{near}; a new one needs a name")
            name, category, layout = "", "app", ()
        name, category = str(change.get("name", name)), str(change.get("category", category))
        if not name.isidentifier() or category not in ("app", "admin"):
            raise self.fail(key, f"name must be a word and category app or admin, were {name!r} and {category!r}")
        text = format_layout(self.edit(layout, change, key))
        self.source.messages[msg_type] = f"{name} {category} {text}".rstrip()
        msg_types = self.source.fields.get(35, "")
        if "=" in msg_types and f" {escape(msg_type)}=" not in msg_types:  # MsgType is enumerated, too
            self.source.fields[35] = f"{msg_types} {escape(msg_type)}={escape(name)}"

    def edit(self, layout: Layout, change: Table, key: str) -> Layout:
        """Apply add, remove, require, optional and groups to one level."""
        nodes = {node.tag: node for node in layout}
        for word in self.words(change, "remove", key):
            if nodes.pop(self.tag(word, f"{key}.remove"), None) is None:
                raise self.fail(f"{key}.remove", f"{word} is not there")
        for node in self.additions(self.words(change, "add", key), f"{key}.add"):
            nodes[node.tag] = node
        for name, required in (("require", True), ("optional", False)):
            for word in self.words(change, name, key):
                tag = self.tag(word, f"{key}.{name}")
                if tag not in nodes:
                    raise self.fail(f"{key}.{name}", f"{word} is not there; list it under add")
                nodes[tag] = msgspec.structs.replace(nodes[tag], required=required)
        for word, inner in self.tables(change, "groups").items():
            path = f"{key}.groups.{word}"
            self.known_keys(inner, _LAYOUT_KEYS, path)
            owner = nodes.get(self.tag(word, path))
            if owner is None or owner.children is None:
                raise self.fail(path, "there is no such group")
            children = resolve(owner.children, self.base.components)
            edited = self.edit(children, inner, path)
            if not edited:
                raise self.fail(path, "a group must keep at least one field; remove the group instead")
            nodes[owner.tag] = msgspec.structs.replace(owner, children=edited)
        return tuple(nodes.values())

    def additions(self, words: list[str], key: str) -> Layout:
        """Nodes of an ``add`` list: names become numbers."""
        tokens: list[str] = []
        for word in " ".join(words).split():
            if word == ">":
                tokens.append(word)
                continue
            head = "<" if word.startswith("<") else ""
            mark = "!" if word.endswith("!") else ""
            tokens.append(f"{head}{self.tag(word.removeprefix('<').removesuffix('!'), key)}{mark}")
        try:
            layout = parse_layout(tokens)
        except DictionaryError as error:
            raise self.fail(key, str(error)) from error
        self.no_empty_group(layout, key)
        return layout

    def no_empty_group(self, layout: Iterable[Node], key: str) -> None:
        for node in layout:
            if node.children is not None:
                if not node.children:
                    raise self.fail(key, f"the group of {node.tag} has no fields")
                self.no_empty_group(node.children, key)
