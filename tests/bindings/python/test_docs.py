"""docs/python.md: its Python runs, from top to bottom."""

import pathlib
import re
import subprocess
import sys

from conftest import DEADLINE

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_the_python_of_the_page_runs():
    page = (ROOT / "docs/python.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 4
    run = subprocess.run([sys.executable, "-c", "\n".join(blocks)], cwd=ROOT, capture_output=True, text=True,
                         timeout=2 * DEADLINE)
    assert run.returncode == 0, run.stderr
    for said in ("Hello, Serverledge!", "raised", "ZeroDivisionError", "'decided': 1"):
        assert said in run.stdout
