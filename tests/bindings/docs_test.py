"""docs/c-api.md: its C is that of the example, which is compiled and run."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Page(unittest.TestCase):
    def test_every_block_of_c_is_in_the_example(self):
        example = (ROOT / "bindings/c/example.c").read_text()
        page = (ROOT / "docs/c-api.md").read_text()
        blocks = re.findall(r"^```c\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        self.assertGreater(len(blocks), 5)
        for block in blocks:
            self.assertIn(block, example)


if __name__ == "__main__":
    unittest.main()
