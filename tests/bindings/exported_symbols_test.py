"""libserverledge-c.so shows the functions of its header, all of them and nothing else; its names carry the ABI version."""

import pathlib
import re
import subprocess
import sys
import unittest

LIBRARY = pathlib.Path(sys.argv.pop(1))
HEADER = pathlib.Path(__file__).resolve().parents[2] / "bindings/c/include/serverledge/serverledge.h"


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Exports(unittest.TestCase):
    def test_the_functions_of_the_header_are_what_is_exported(self):
        symbols = {line.split()[-1] for line in output("nm", "-D", "--defined-only", LIBRARY).splitlines()}
        text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
        declared = set(re.findall(r"\b(serverledge_\w+)\(", text))
        self.assertGreater(len(declared), 40)
        self.assertEqual(symbols, declared)

    def test_the_soname_is_the_abi_version(self):
        version = re.search(r"#define SERVERLEDGE_ABI_VERSION (\d+)", HEADER.read_text()).group(1)
        self.assertIn(f"[libserverledge-c.so.{version}]", output("readelf", "-d", LIBRARY))


if __name__ == "__main__":
    unittest.main()
