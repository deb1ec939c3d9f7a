"""What the reference needs beyond docstrings: links, signatures of attrs classes, and since when a name is there."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).parents[1]
#: `Name`, as docstrings write it, but neither ``code`` nor a link already.
_NAME = re.compile(r"(?<![`\[])`([A-Za-z_][\w.]*)`(?![`\]])")
#: Packages whose public names are in the reference, and the names that are not in their `__all__`.
PACKAGES = {
    "iqiyi_async": ("ClientStats", "UnfinishedUpload", "UploadHandle"),
    "iqiyi_async.batch": (),
    "iqiyi_async.stores": (),
    "iqiyi_async.web": (),
    "iqiyi_async.testing": (),
    "iqiyi_async.emulator": (),
}
ELSEWHERE = {
    "ClientStats": "iqiyi_async.models.ClientStats",
    "UnfinishedUpload": "iqiyi_async.upload.uploads.UnfinishedUpload",
    "UploadHandle": "iqiyi_async.upload.handle.UploadHandle",
}


def _all_of(path: Path) -> list[str]:
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def targets() -> dict[str, str]:
    """Where each name of the public face is in the reference."""
    found: dict[str, str] = {}
    for package, more in PACKAGES.items():
        for name in (*_all_of(ROOT / package.replace(".", "/") / "__init__.py"), *more):
            found.setdefault(name, ELSEWHERE.get(name, f"{package}.{name}"))
    client = ast.parse((ROOT / "iqiyi_async" / "client.py").read_text("utf-8"))
    for node in ast.walk(client):
        if isinstance(node, ast.ClassDef) and node.name == "AsyncVideoCloud":
            for each in node.body:
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and not each.name.startswith("_"):
                    found.setdefault(each.name, f"iqiyi_async.AsyncVideoCloud.{each.name}")
                    found.setdefault(f"AsyncVideoCloud.{each.name}", f"iqiyi_async.AsyncVideoCloud.{each.name}")
    return found


class Links(griffe.Extension):
    """Turns names into links when an object was read."""

    def __init__(self) -> None:
        super().__init__()
        self._targets = targets()

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Link the names of one docstring; not to the object itself, nor to a parameter or member called alike."""
        if obj.docstring is None:
            return
        own = {obj.name, *(each.name for each in getattr(obj, "parameters", ()))}
        if isinstance(obj, griffe.Class):
            own |= set(obj.members)

        def link(match: re.Match[str]) -> str:
            name = match[1]
            target = self._targets.get(name)
            return match[0] if target is None or name in own else f"[`{name}`][{target}]"

        obj.docstring.value = _NAME.sub(link, obj.docstring.value)


class SameParameters(griffe.Extension):
    """Repeats the descriptions of parameters where a docstring only says that they are as for another object."""

    _SENTENCE = re.compile(r"^    \w+: as for (?:the class|`(\w+)`), like all others.*\n?", re.MULTILINE)
    _SECTION = re.compile(r"^Args:\n((?:    .*\n?|\n(?=    ))+)", re.MULTILINE)
    _ENTRY = re.compile(r"^    (\w+):.*\n?(?:^     +.*\n?)*", re.MULTILINE)

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Look through the methods of a class that was read as a whole."""
        for function in cls.functions.values():
            if function.docstring is None or not (found := self._SENTENCE.search(function.docstring.value)):
                continue
            other = cls.functions[found[1]] if found[1] else cls
            section = self._SECTION.search(other.docstring.value) if other.docstring else None
            if section is None:
                raise ValueError(f"{other.path} describes no parameters")
            entries = {match[1]: match[0] for match in self._ENTRY.finditer(section[1])}
            same = "".join(entries[each.name] for each in function.parameters if each.name in entries)
            text = function.docstring.value
            function.docstring.value = f"{text[: found.start()]}{same.rstrip()}\n{text[found.end() :]}"


class Signatures(griffe.Extension):
    """Gives classes made by attrs the `__init__` that they have, so that their fields are shown with their defaults."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Add `__init__` to a class that ``attrs.frozen`` or ``attrs.define`` makes."""
        made = [str(each.value).partition("(") for each in cls.decorators]
        by_attrs = [rest for name, _, rest in made if name in ("attrs.frozen", "attrs.define")]
        if not by_attrs or "__init__" in cls.members:
            return
        kind = griffe.ParameterKind.positional_or_keyword
        if "kw_only=True" in by_attrs[0]:
            kind = griffe.ParameterKind.keyword_only
        parameters = [griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)]
        for name, member in cls.members.items():
            if not isinstance(member, griffe.Attribute) or member.annotation is None or "property" in member.labels:
                continue
            field = member.value if isinstance(member.value, griffe.ExprCall) else None
            default: Any = member.value
            alias = name.lstrip("_")
            if field is not None and str(field.function) == "attrs.field":
                given = {each.name: each.value for each in field.arguments if isinstance(each, griffe.ExprKeyword)}
                default = given.get("default", "..." if "factory" in given else None)
                if str(given.get("init")) == "False":
                    continue
                alias = str(given.get("alias", alias)).strip("'\"")
            parameters.append(griffe.Parameter(alias, annotation=member.annotation, kind=kind, default=default))
        made_by_attrs = griffe.Function("__init__", parameters=griffe.Parameters(*parameters), parent=cls)
        cls.set_member("__init__", made_by_attrs)


class Members(griffe.Extension):
    """Shows the members of an enumeration as a table."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Put the table behind the docstring of an enumeration."""
        if not any(str(base) in ("Enum", "IntEnum", "StrEnum") for base in cls.bases) or cls.docstring is None:
            return
        rows = [
            f"| `{member.name}` | `{member.value}` |"
            for member in cls.members.values()
            if isinstance(member, griffe.Attribute) and member.value is not None
        ]
        cls.docstring.value += "\n\n" + "\n".join(["| member | value |", "|---|---|", *rows])


class Added(griffe.Extension):
    """Says since which version a name, or a parameter of it, is there."""

    def __init__(self) -> None:
        super().__init__()
        versions = tomllib.loads(Path(__file__).with_name("added.toml").read_text("utf-8"))
        parameters = versions.pop("parameters")
        self._notes = {name: f"*Added in version {version}.*" for version, names in versions.items() for name in names}
        for version, owners in parameters.items():
            for owner, names in owners.items():
                listed = ", ".join(f"`{name}`" for name in names)
                self._notes[owner] = f"*Added in version {version}: {listed}.*"

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Put the version behind the first paragraph."""
        note = self._notes.get(obj.path)
        if note is None or obj.docstring is None:
            return
        first, _, rest = obj.docstring.value.partition("\n\n")
        obj.docstring.value = f"{first}\n\n{note}\n\n{rest}".rstrip()

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """A name of the list that is gone would be shown nowhere, and nobody would notice."""
        for name in self._notes:
            pkg[name.removeprefix(f"{pkg.name}.")]
