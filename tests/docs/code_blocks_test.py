"""The C++ that these pages show is in files that are compiled, line by line."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Page -> the files that its code is taken from.
PAGES = {
    "docs/embedding.md": ["examples/embedding/*.cpp", "examples/gateway/main.cpp", "tests/docs/*.cpp"],
    "docs/writing-policies.md": ["tests/policy/warm_first_policy.hpp"],
}
BLOCK = re.compile(r"^```cpp\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def lines(text):
    """Without indentation and empty lines, so that a part of a function can be shown by itself."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def contains(where, what):
    return any(where[at:at + len(what)] == what for at in range(len(where) - len(what) + 1))


class CodeBlocks(unittest.TestCase):
    def test_each_is_in_a_compiled_file(self):
        for page, patterns in PAGES.items():
            sources = [lines(path.read_text()) for pattern in patterns for path in sorted(ROOT.glob(pattern))]
            blocks = BLOCK.findall((ROOT / page).read_text())
            self.assertTrue(blocks, page)
            for block in blocks:
                with self.subTest(page=page, block=block.splitlines()[0]):
                    # "..." stands for what is left out.
                    for part in re.split(r"^\s*// \.\.\.\s*$", block, flags=re.MULTILINE):
                        self.assertTrue(any(contains(source, lines(part)) for source in sources), part)


if __name__ == "__main__":
    unittest.main()
