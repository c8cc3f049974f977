"""The rooms of docs/architecture.md: what each may include, and who may ask for the time or for chance."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "libserverledge"

# Room -> the other rooms that it may include.
ROOMS = {
    "core": set(),
    "policy": {"core"},
    "node": {"policy", "core"},
    "workflow": {"node", "policy", "core"},
    "sim": {"node", "policy", "core"},
    "net": {"core"},
    "runtime": {"net", "core"},
    "cluster": {"net", "core"},
    "balance": {"policy", "net", "core"},
    "observe": {"net", "core"},
    "api": {"node", "workflow", "net", "core"},
    "assembly": {"core", "policy", "node", "workflow", "sim", "net", "runtime", "cluster", "balance", "observe", "api"},
}

# Rooms that only decide: no system call, so nothing beyond the standard library.
INSIDE = {"core", "policy", "node", "workflow", "sim"}

# Header (or its folder) -> the rooms whose .cpp files and private headers may see it. fmt: all.
THIRD_PARTY = {
    "fmt/": set(ROOMS),
    "openssl/": {"net", "runtime"},
    "archive.h": {"runtime"},
    "archive_entry.h": {"runtime"},
    "seccomp.h": {"runtime"},
    "cap-ng.h": {"runtime"},
    "sqlite3.h": {"cluster"},
    "grpc/": {"cluster"},
    "grpcpp/": {"cluster"},
    "google/protobuf/": {"cluster"},
    "etcd_rpc.": {"cluster"},  # generated from proto/
    "etcd_kv.": {"cluster"},
    "spdlog/": {"observe"},
    "prometheus/": {"observe"},
    "yaml-cpp/": {"assembly"},
    "toml++/": {"assembly"},
    "rapidjson/": set(),
}

SYSTEM = re.compile(
    r"(sys|linux|asm|net|netinet|arpa)/[\w/]+\.h|"
    r"(dirent|dlfcn|errno|fcntl|grp|locale|netdb|poll|pthread|pwd|sched|signal|spawn|stdint|string|strings|syslog|"
    r"termios|time|unistd)\.h")
STANDARD = re.compile(r"[a-z_]+")

# The kernel's random numbers are the one system call of the inside.
SYSTEM_INSIDE = {("core", "clock.cpp", "sys/random.h")}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
TIME_AND_CHANCE = re.compile(
    r"\w*_clock::now\b|\bclock_gettime\b|\bgettimeofday\b|\btime\(\s*(?:nullptr|NULL|0|&\w+)\s*\)|"
    r"\bs?rand\s*\(|\brandom_device\b|\bmt19937(?:_64)?\b|\bgetrandom\s*\(|\bgetentropy\s*\(")


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


def include_is_wrong(path, quote, name):
    """Why the file (relative to libserverledge) must not include `name`; None if it may."""
    public = path.parts[0] == "include"
    room = path.parts[2] if public else path.parts[1]
    if quote == '"':
        if public and not name.startswith("serverledge/"):
            return "a public header may include public headers only"
        other = name.removeprefix("serverledge/").split("/")[0]
        return None if other == room or other in ROOMS[room] else f"{room} may not include {other}"
    owners = next((owners for prefix, owners in THIRD_PARTY.items() if name.startswith(prefix)), None)
    if owners is not None:
        if public:
            return "a public header may not include third-party headers"
        if path.suffix == ".hpp" and room in INSIDE:
            return f"{room} may use libraries in .cpp files only"
        return None if room in owners else f"{room} may not see {name}"
    if STANDARD.fullmatch(name):
        return None
    if SYSTEM.fullmatch(name):
        allowed = room not in INSIDE or (room, path.name, name) in SYSTEM_INSIDE
        return None if allowed else f"{room} decides, it makes no system calls"
    return "unknown to the table in tests/structure/rooms_test.py"


def include_violations(path, text):
    for quote, name in INCLUDE.findall(text):
        why = include_is_wrong(path, quote, name)
        if why:
            yield f"{path}: {name}: {why}"


def sources(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in {".cpp", ".hpp", ".c", ".h"})


class Rooms(unittest.TestCase):
    def test_each_room_includes_only_what_the_table_allows(self):
        found = [v for p in sources(LIBRARY) for v in include_violations(p.relative_to(LIBRARY), p.read_text())]
        self.assertEqual(found, [])
        self.assertGreater(len(sources(LIBRARY)), 30)

    def test_only_the_clock_asks_for_the_time_and_for_chance(self):
        found = []
        for folder in (LIBRARY, ROOT / "apps"):
            for path in sources(folder):
                where = path.relative_to(ROOT)
                if str(where) == "libserverledge/src/core/clock.cpp" or path.suffix in {".c", ".h"}:
                    continue
                found += [f"{where}: {m}" for m in TIME_AND_CHANCE.findall(without_comments(path.read_text()))]
        self.assertEqual(found, [])

    def test_every_room_is_in_the_table(self):
        rooms = {p.name for side in ("src", "include/serverledge") for p in (LIBRARY / side).iterdir() if p.is_dir()}
        self.assertEqual(rooms - set(ROOMS), set())


class TheCheckItself(unittest.TestCase):
    def check(self, path, line, good):
        self.assertEqual(list(include_violations(pathlib.Path(path), line)) == [], good, f"{path}: {line}")

    def test_it_lets_pass_what_is_allowed(self):
        for path, line in (
            ("src/core/function.cpp", "#include <fmt/format.h>"),
            ("src/core/json_reader.cpp", '#include "core/json_scanner.hpp"'),
            ("src/core/clock.cpp", "#include <sys/random.h>"),
            ("include/serverledge/node/node.hpp", '#include "serverledge/policy/decision.hpp"'),
            ("src/net/sha256.cpp", "#include <openssl/evp.h>"),
            ("src/runtime/code/archive.cpp", "#  include <archive.h>"),
            ("src/assembly/open_node.cpp", '#include "serverledge/cluster/embedded_store.hpp"'),
        ):
            self.check(path, line, True)

    def test_it_finds_what_is_not(self):
        for path, line in (
            ("src/core/function.cpp", '#include "serverledge/net/base64.hpp"'),
            ("src/core/utf8.hpp", "#include <fmt/format.h>"),
            ("src/core/json_reader.cpp", "#include <rapidjson/reader.h>"),
            ("src/core/mailbox.cpp", "#include <unistd.h>"),
            ("include/serverledge/core/json.hpp", "#include <fmt/format.h>"),
            ("include/serverledge/net/sha256.hpp", "#include <openssl/evp.h>"),
            ("include/serverledge/core/json.hpp", '#include "core/utf8.hpp"'),
            ("src/policy/ttl.cpp", '#include "serverledge/node/node.hpp"'),
            ("src/node/node.cpp", '#include "serverledge/runtime/sandbox.hpp"'),
            ("src/api/http_api.cpp", "#include <openssl/evp.h>"),
            ("src/api/http_api.cpp", '#include "serverledge/policy/decision.hpp"'),
            ("src/net/http_client.cpp", '#include "runtime/sandbox/cgroup.hpp"'),
            ("src/net/http_client.cpp", '#include "percent.hpp"'),
            ("src/cluster/registry.cpp", "#include <yaml-cpp/yaml.h>"),
            ("src/net/server.cpp", "#include <sqlite3.h>"),
            ("src/net/server.cpp", "#include <zlib.h>"),
        ):
            self.check(path, line, False)

    def test_it_finds_clocks_and_chance(self):
        for text in ("std::chrono::steady_clock::now()", "system_clock::now()", "std::rand()", "std::random_device d;",
                     "time(nullptr)", "::getrandom(p, 8, 0)"):
            self.assertTrue(TIME_AND_CHANCE.search(without_comments(text)), text)
        for text in ("system_clock().now()", "clock_.now()", "// steady_clock::now()", "strand(x)", "time(object)"):
            self.assertFalse(TIME_AND_CHANCE.search(without_comments(text)), text)


if __name__ == "__main__":
    unittest.main()
