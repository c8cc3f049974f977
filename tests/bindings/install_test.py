"""Installed into an empty prefix, the examples in C and in Python run with nothing of the build or source tree in reach."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD, COMPILER, PYTHON = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None
del sys.argv[1:]
BINDINGS = pathlib.Path(__file__).resolve().parents[2] / "bindings"


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        root = pathlib.Path(cls.folder.name)
        os.chmod(root, 0o755)  # functions of a node run as users of their own
        cls.prefix, cls.work = root / "prefix", root / "work"
        cls.work.mkdir()
        for part in ("bindings", "apps/launcher", "apps/runtimes"):
            cls.run_in("/", "cmake", "--install", BUILD / part, "--prefix", cls.prefix)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def run_in(cls, folder, *command, **environment):
        run = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True, timeout=240,
                             env={**os.environ, **environment})
        if run.returncode != 0:
            raise AssertionError(f"{command}: {run.returncode}\n{run.stdout}\n{run.stderr}")
        return run.stdout

    def test_the_example_in_c(self):
        shutil.copy(BINDINGS / "c/example.c", self.work)
        library = next(self.prefix.rglob("libserverledge-c.so")).parent
        flags = self.run_in(self.work, "pkg-config", "--cflags", "--libs", "serverledge-c",
                            f"--define-variable=prefix={self.prefix}", f"--define-variable=libdir={library}",
                            f"--define-variable=includedir={self.prefix}/include",
                            PKG_CONFIG_PATH=str(library / "pkgconfig")).split()
        self.run_in(self.work, COMPILER, "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Wpedantic",
                    "-Werror", "example.c", *flags, "-o", "example")
        said = self.run_in(self.work, "./example", LD_LIBRARY_PATH=str(library))
        self.assertIn("100 of 100 submitted calls succeeded", said)

    @unittest.skipUnless(PYTHON, "the Python module is not built")
    def test_the_example_in_python(self):
        shutil.copy(BINDINGS / "python/examples/night_shift.py", self.work)
        module = next(self.prefix.rglob("serverledge/__init__.py")).parents[1]
        self.assertTrue(module.is_relative_to(self.prefix / "lib"))
        said = self.run_in(self.work, PYTHON, "-B", "night_shift.py", PYTHONPATH=str(module))
        self.assertIn("hello from a function", said)
        where = self.run_in(self.work, PYTHON, "-B", "-c", "import serverledge; print(serverledge.__file__)",
                            PYTHONPATH=str(module))
        self.assertTrue(where.startswith(str(self.prefix)))


if __name__ == "__main__":
    unittest.main()
