"""Writes the manual page of a program from what it says of itself.

Usage: man_page.py <program> <section> <version> <page> [<subcommand>...]

The page is the program's --help, and that of each subcommand, in the form of man(7): made at build, it is never out of date."""

import pathlib
import re
import subprocess
import sys

HEADING = re.compile(r"[A-Z][A-Za-z ]*:")
LISTS = {"Options:", "Positionals:", "Subcommands:"}


def help_of(command):
    return subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout.splitlines()


def escaped(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in {".", "'"} else text


def sections(lines):
    """(heading, lines) of each part; that of the first is empty."""
    parts = [("", [])]
    for line in lines:
        if HEADING.fullmatch(line):
            parts.append((line, []))
            continue
        if parts[-1][0] in LISTS and re.match(r"\S", line):  # a list has ended
            parts.append(("Notes:", []))
        parts[-1][1].append(line)
    return parts


def entries(lines):
    """(term, text) of a list: "  -u,--update     Replace the function", or the text on the following lines."""
    found = []
    for line in filter(str.strip, lines):
        if re.match(r"  \S", line):
            term, text = re.fullmatch(r"(.+? REQUIRED|.+?)(?:(?<=REQUIRED)\s+|\s{2,}|$)(.*)", line.strip()).groups()
            found.append([term, text])
        else:
            found[-1][1] = f"{found[-1][1]} {line.strip()}".strip()
    return found


def body(heading, lines):
    if heading in LISTS:
        for term, text in entries(lines):
            yield from (".TP", f".B {escaped(term)}", escaped(text) or "\\&")
        return
    previous = None  # "text" or "example"
    for line in lines:
        kind = None if not line.strip() else "example" if line.startswith("  ") else "text"
        if kind != previous:
            if previous == "example":
                yield from (".fi", ".RE")
            if kind == "example":
                yield from (".RS 2", ".nf")
            if kind == "text":
                yield ".PP"
        if kind:
            yield escaped(line.strip())
        previous = kind
    if previous == "example":
        yield from (".fi", ".RE")


def page(program, section, version, subcommands):
    name = pathlib.Path(program).name
    lines = help_of([program])
    # The first line says what it is for, if it is not the usage at once.
    usage = next(line for line in lines if line.startswith("Usage: "))
    lines.remove(usage)
    first = next(line for line in lines if line.strip())
    purpose = first.split(": ")[0].rstrip(".")
    out = [f'.TH {name.upper()} {section} "" "Serverledge {version}" "Serverledge"', ".SH NAME",
           f"{escaped(name)} \\- {escaped(purpose[0].lower() + purpose[1:])}", ".SH SYNOPSIS",
           f".B {escaped(usage.removeprefix('Usage: '))}"]
    for heading, part in sections(lines):
        if any(map(str.strip, part)):
            out += [f".SH {heading.rstrip(':').upper() or 'DESCRIPTION'}", *body(heading, part)]
    if subcommands:
        out.append(".SH COMMANDS")
    for command in subcommands:
        out.append(f".SS {command}")
        for heading, part in sections(help_of([program, command])):
            if heading:
                out += [".PP", f".I {escaped(heading)}"]
            out += body(heading, [line for line in part if not line.startswith("Usage: ")])
    out += [".SH SEE ALSO", "The pages in /usr/share/doc/serverledge/docs, and http://127.0.0.1:1323/openapi.yaml of a running node."]
    return "\n".join(out) + "\n"


def main():
    program, section, version, target, *subcommands = sys.argv[1:]
    pathlib.Path(target).write_text(page(program, section, version, subcommands))


if __name__ == "__main__":
    main()
