"""The pages of this repository, taken apart: links, anchors, code spans and fenced blocks."""

import dataclasses
import os
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.M | re.S)


@dataclasses.dataclass
class Block:
    page: str
    line: int  # of its first line
    language: str
    text: str
    before: str  # the last line of text before it

    def commands(self):
        """Its commands: lines, joined where a loop or a backslash goes on; what a `console` shows of output is left out."""
        found, open_ = [], ""
        for number, line in enumerate(self.text.splitlines(), self.line):
            if self.language == "console":
                if not line.startswith("$ "):
                    continue
                line = line[2:]
            if not open_:
                at = number
            open_ += line + "\n"
            if line.endswith("\\") or (re.match(r"\s*(for|while|if)\b", open_) and not re.search(r"^\s*(done|fi)\b", line, re.M)):
                continue
            if open_.strip() and not open_.startswith("#"):
                found.append((at, open_.rstrip("\n")))
            open_ = ""
        return found


class Page:
    def __init__(self, path):
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.text = path.read_text()
        self.prose = FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), self.text)

    def line_of(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def blocks(self):
        for fence in FENCE.finditer(self.text):
            before = self.text[:fence.start()].rstrip().rsplit("\n", 1)[-1]
            yield Block(self.name, self.line_of(fence.start()) + 1, fence[1], fence[2], before)

    def links(self):
        """(line, target) of each link of the text."""
        for link in re.finditer(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", lambda code: " " * len(code[0]), self.prose)):
            yield self.prose.count("\n", 0, link.start()) + 1, link[1]

    def spans(self):
        """(line, text) of each piece of code within the text."""
        for span in re.finditer(r"`([^`\n]+)`", self.prose):
            yield self.prose.count("\n", 0, span.start()) + 1, span[1]

    def anchors(self):
        """Of its headings, as they are made where the pages are shown."""
        headings = re.findall(r"^#+ (.*)$", self.prose, re.M)
        return {re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).replace(" ", "-") for heading in headings}


def all_pages():
    """Those of the sources. What lies in a build folder is not looked at: other tests make and remove files there."""
    left_out = {"build", ".git", ".github", "node_modules"}
    paths = []
    for folder, below, names in os.walk(ROOT):
        below[:] = set(below) - left_out
        paths += [pathlib.Path(folder, name) for name in names if name.endswith(".md")]
    return [Page(path) for path in sorted(paths)]
