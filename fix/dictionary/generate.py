"""Make a dictionary's data file from XML in the format of the QuickFIX family.

``python -m fix.dictionary.generate --out fix/dictionary/data FIX44.xml ...`` writes one file per
XML, named by version. The output depends on nothing but the XML: same bytes on every run.
"""

import argparse
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from fix.dictionary.layout import Layout, Node, format_layout
from fix.dictionary.model import DataDictionary, Source, escape
from fix.errors import DictionaryError

#: Extension of the data files.
SUFFIX = ".dict"


def convert(path: Path) -> Source:
    """Read one XML file.

    Raises
    ------
    DictionaryError
        When it is not XML, or names what it does not define.
    """
    try:
        root = ET.parse(path).getroot()
    except (OSError, ET.ParseError) as error:
        raise DictionaryError(f"{path}: not readable as XML: {error}") from error
    if root.tag != "fix":
        raise DictionaryError(f"{path}: the root must be <fix>, was <{root.tag}>")
    reader = _Reader(path, root)
    source = Source(reader.version(), reader.fields(), {}, {})
    for component in root.iterfind("components/component"):
        source.components[reader.get(component, "name")] = format_layout(reader.layout(component))
    for message in root.iterfind("messages/message"):
        name, category = reader.get(message, "name"), message.get("msgcat", "app")
        layout = format_layout(reader.layout(message))
        source.messages[reader.get(message, "msgtype")] = f"{name} {category} {layout}".rstrip()
    source.header = reader.section("header")
    source.trailer = reader.section("trailer")
    _check(source, path)
    return source


class _Reader:
    """The XML of one version, field names resolved to numbers."""

    def __init__(self, path: Path, root: ET.Element) -> None:
        self.path = path
        self.root = root
        self.tags: dict[str, int] = {}

    def get(self, element: ET.Element, attribute: str) -> str:
        value = element.get(attribute)
        if value is None:
            raise DictionaryError(f"{self.path}: <{element.tag} {element.attrib}> needs {attribute}=")
        return value

    def version(self) -> str:
        family, pack = self.root.get("type", "FIX"), self.root.get("servicepack", "0")
        text = f"{family}.{self.get(self.root, 'major')}.{self.get(self.root, 'minor')}"
        return text if pack == "0" else f"{text}SP{pack}"

    def fields(self) -> dict[int, str]:
        lines: dict[int, str] = {}
        for field in self.root.iterfind("fields/field"):
            name, number = self.get(field, "name"), self.get(field, "number")
            if not number.isdigit() or int(number) in lines or name in self.tags:
                raise DictionaryError(f"{self.path}: field {name} ({number}) is not a number or defined twice")
            values = {self.get(value, "enum"): value.get("description", "") for value in field.iterfind("value")}
            words = [f"{escape(value)}={escape(label)}" for value, label in sorted(values.items())]
            self.tags[name] = int(number)
            lines[int(number)] = " ".join([name, self.get(field, "type"), *words])
        return lines

    def section(self, name: str) -> str:
        found = self.root.find(name)
        return "" if found is None else format_layout(self.layout(found))

    def layout(self, parent: ET.Element) -> Layout:
        nodes: list[Node] = []
        for element in parent:
            name, required = self.get(element, "name"), element.get("required", "N").upper() == "Y"
            if element.tag == "component":
                nodes.append(Node(0, required, component=name))
                continue
            if name not in self.tags:
                raise DictionaryError(f"{self.path}: <{element.tag} name={name!r}> is not among its <fields>")
            children = self.layout(element) if element.tag == "group" else None
            nodes.append(Node(self.tags[name], required, children=children))
        return tuple(nodes)


def _check(source: Source, path: Path) -> None:
    """Everything must expand: a component that is missing or contains itself is found here."""
    dictionary = DataDictionary(source)
    try:
        for msg_type in source.messages:
            dictionary.message(msg_type)
        for tag in source.fields:
            dictionary.field(tag)
        _ = dictionary.header, dictionary.trailer
    except DictionaryError as error:
        raise DictionaryError(f"{path}: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m fix.dictionary.generate", description=__doc__)
    parser.add_argument("xml", nargs="+", type=Path, help="dictionaries in XML")
    parser.add_argument("--out", type=Path, required=True, help="directory of the data files")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.xml:
        try:
            source = convert(path)
        except DictionaryError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        target = options.out / f"{source.version}{SUFFIX}"
        target.write_text(source.text(), encoding="utf-8")
        sys.stdout.write(f"{target}: {len(source.fields)} fields, {len(source.messages)} messages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
