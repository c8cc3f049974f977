"""Writes the linker's list of what the shared libraries export: what public headers declare, and nothing else.

Usage: exported_names.py <list> <header>...

Public headers hold no macros, so that visibility is not theirs to say; nor is the namespace, which internal classes share."""

import pathlib
import re
import sys

COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|^[ \t]*#[^\n]*", re.DOTALL | re.MULTILINE)
CLASS = re.compile(r"\b(?:class|struct)\s+(\w+)[^;(){]*\{")
FUNCTION = re.compile(r"\b(operator)\b|(\w+)\s*\(")
# Of a class the linker is told, besides its members. A question mark is a space, and there are no others.
TABLES = ("vtable?for?", "VTT?for?", "typeinfo?for?", "typeinfo?name?for?", "construction?vtable?for?")
THUNKS = ("non-virtual?thunk?to?", "virtual?thunk?to?", "covariant?return?thunk?to?", "guard?variable?for?")


def at_namespace_scope(text):
    """The text of a header without what stands between the braces of classes and functions."""
    kept, depth = [], 0
    for piece in re.split(r"([{}])", COMMENT.sub(" ", text)):
        if piece == "{":
            depth += 1
        elif piece == "}":
            depth -= 1
        if piece == "{" and depth == 2:
            kept.append("{};")
        elif depth == 1 and piece not in "{}":  # in `namespace serverledge`
            kept.append(piece)
    return "".join(kept)


def declared(header):
    text = at_namespace_scope(pathlib.Path(header).read_text())
    functions = {operator or name for operator, name in FUNCTION.findall(text)}
    return set(CLASS.findall(text)), functions - {"decltype", "noexcept", "requires", "void"}


def main():
    target, *headers = sys.argv[1:]
    classes, functions = set(), set()
    for header in headers:
        more_classes, more_functions = declared(header)
        classes |= more_classes
        functions |= more_functions
    lines = []
    for name in sorted(classes):
        lines += [f"serverledge::{name}::*"]
        lines += [f"{table}serverledge::{name}{rest}" for table in TABLES for rest in ("", "::*")]
        lines += [f"{thunk}serverledge::{name}::*" for thunk in THUNKS]
    # The rest of a function's name: its arguments, or the mark of the string's ABI.
    lines += [f"serverledge::{name}[!a-zA-Z0-9_]*" for name in sorted(functions)]
    content = "{\n  global:\n    extern \"C++\" {\n" + "".join(f"      {line};\n" for line in lines)
    content += "    };\n  local:\n    *;\n};\n"
    path = pathlib.Path(target)
    if not path.exists() or path.read_text() != content:
        path.write_text(content)


if __name__ == "__main__":
    main()
