#!/usr/bin/env python3
"""Runs clang-tidy over the sources (not the tests) that a build folder compiles, skipping those that it found clean before.
Of a unity build (SERVERLEDGE_UNITY) it checks whole rooms: their headers, which take most of the time, are read once.

Usage: tidy.py <build folder> [-j N]

What was clean is remembered under <build folder>/tidy by a hash of everything that the verdict depends on: the source,
the project's own files that it includes (as the compiler reported them to ninja), the command and .clang-tidy.
Exits 1 when something was found."""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time


@functools.cache
def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


def sources_of(file, build, root):
    """What is to be checked of a file of the compilation database: itself, or what a file of a unity build includes;
    nothing if it is generated, or a test (their macros cost too much)."""
    if "Unity" in file.parts and build in file.parents:
        files = [pathlib.Path(name) for name in re.findall(r'^#include "(.+)"$', file.read_text(), re.MULTILINE)]
    else:
        files = [file]
    return [f for f in files if root in f.parents and not {build, root / "tests"} & set(f.parents)]


def compiled_files(build, root):
    """Of the database what is to be checked: file, its sources, entry; most sources first, as tests take some of a program's."""
    files = []
    for entry in json.loads((build / "compile_commands.json").read_text()):
        file = pathlib.Path(entry["file"])
        if sources := set(sources_of(file, build, root)):
            files.append((file, sources, entry))
    return sorted(files, key=lambda file: -len(file[1]))


def included_files(build, root):
    """The project's own files of every object, from ninja's dependency log."""
    files, current = {}, None
    listing = subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        if not line.startswith(" "):
            current = files.setdefault(line.split(":")[0], []) if line else None
            continue
        file = (build / line.strip()).resolve()
        if file.is_relative_to(root):
            current.append(file)
    return files


def key_of(entry, included, common):
    """None for what was not built, so that what it includes is not known."""
    parts = [*common, entry["command"]]
    target = re.search(r" -o (\S+)", entry["command"])[1]
    if target not in included:
        return None
    for file in sorted({pathlib.Path(entry["file"]), *included[target]}):
        parts.append(f"{file} {digest(file)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def check(build, source):
    began = time.monotonic()
    # The command may be GCC's, with warnings that clang does not have.
    command = ["clang-tidy", "-p", build, "--quiet", "--extra-arg=-Wno-unknown-warning-option", source]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0, done.stdout, done.stderr, time.monotonic() - began


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("build", type=pathlib.Path)
    arguments.add_argument("-j", "--jobs", type=int, default=2)
    options = arguments.parse_args()
    build, root = options.build.resolve(), pathlib.Path(__file__).resolve().parents[2]

    if not (build / "compile_commands.json").exists():
        sys.exit(f"tidy.py: {options.build} is not a configured build folder")
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, text=True, check=True).stdout
    common = [version, digest(root / ".clang-tidy")]
    included = included_files(build, root)
    verdicts = build / "tidy"
    verdicts.mkdir(exist_ok=True)

    pending, known, covered = {}, 0, set()
    for source, sources, entry in compiled_files(build, root):
        if sources <= covered:
            continue
        covered |= sources
        key = key_of(entry, included, common)
        if key and (verdicts / key).exists():
            known += 1
        else:
            pending[str(source)] = verdicts / key if key else None
    print(f"clang-tidy: {len(pending)} files to check, {known} known to be clean", flush=True)

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        futures = {pool.submit(check, str(build), source): source for source in pending}
        for count, future in enumerate(concurrent.futures.as_completed(futures), 1):
            source = futures[future]
            clean, output, errors, seconds = future.result()
            print(f"  [{count}/{len(pending)}] {pathlib.Path(source).relative_to(root)} ({seconds:.0f} s)", flush=True)
            if clean and pending[source]:
                pending[source].touch()
            if not clean:
                failed += 1
                print(output or errors, flush=True)
    if failed:
        print(f"clang-tidy: {failed} files with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
