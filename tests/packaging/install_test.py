"""What `cmake --install` leaves in an empty prefix is enough: other programs are built and run with nothing of the source
tree in reach, by CMake and by pkg-config.

Usage: install_test.py <source folder> <build folder> <cmake> <C++ compiler>"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import live_node as live  # noqa: E402

SOURCE, BUILD, CMAKE, CXX = sys.argv[1:5]
del sys.argv[1:5]
HIDE = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', SOURCE]


def can_hide():
    return os.geteuid() == 0 and subprocess.run([*HIDE, "true"], capture_output=True).returncode == 0


def setUpModule():
    """Installs, and copies what is a user's own."""
    global folder, prefix, hide
    folder = pathlib.Path(tempfile.mkdtemp(prefix="serverledge-test-"))
    unittest.addModuleCleanup(shutil.rmtree, folder)
    prefix = folder / "prefix"
    # A program that is built must not be told of the source folder by the build's own environment.
    subprocess.run([CMAKE, "--install", BUILD, "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
    for example in ("examples/gateway", "examples/embedding"):
        shutil.copytree(pathlib.Path(SOURCE) / example, folder / pathlib.Path(example).name)
    shutil.copytree(pathlib.Path(__file__).parent / "host", folder / "host")
    hide = HIDE if can_hide() else []
    if not hide:
        print("NOTE: without the right to mount, the source tree stays in reach", file=sys.stderr)


def run(*command, **more):
    """What a command prints; run where the source tree is empty."""
    done = subprocess.run([*hide, *map(str, command)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=300, **more)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def pkg_config(*arguments):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    return run("pkg-config", *arguments, env=environment).split()


def options():
    return ["-G", "Ninja", f"-DCMAKE_CXX_COMPILER={CXX}", f"-DCMAKE_PREFIX_PATH={prefix}",
            *(["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else [])]


def needed(program):
    """The shared libraries that a program names."""
    return re.findall(r"NEEDED.*\[(.+)\]", run("readelf", "-d", program))


class Installed(unittest.TestCase):
    def test_the_source_tree_is_out_of_reach(self):
        if not hide:
            self.skipTest("no right to mount")
        self.assertEqual(run("ls", SOURCE), "")

    def test_nothing_that_is_installed_names_the_source_tree(self):
        texts = [p for p in prefix.rglob("*") if p.suffix in {".cmake", ".pc", ".hpp", ".h"}]
        self.assertGreater(len(texts), 40)
        self.assertEqual([p for p in texts if SOURCE in p.read_text()], [])

    def test_the_shared_libraries_export_what_the_public_headers_declare(self):
        headers = " ".join(path.read_text() for path in (prefix / "include/serverledge").rglob("*.hpp"))
        words = set(re.findall(r"\w+", re.sub("//.*", "", headers)))
        for library in ("libserverledge.so", "libserverledge-core.so"):
            text = run("nm", "-DC", "--defined-only", prefix / "lib" / library)
            # "0000000000012345 T serverledge::open_node(...)"
            names = [line.split(" ", 2)[2] for line in text.splitlines()]
            ours = re.compile(r"(?:(?:vtable|VTT|typeinfo|typeinfo name|guard variable) for |(?:non-)?virtual thunk to )?"
                              r"serverledge::(\w+)")
            self.assertEqual([name for name in names if not (found := ours.match(name)) or found[1] not in words], [])
            self.assertGreater(len(names), 100)
        self.assertIn("libserverledge.so.0", run("readelf", "-d", prefix / "lib/libserverledge.so"))

    def test_the_installed_node_runs_a_function(self):
        source = folder / "hello.py"
        source.write_text("def handler(params, context):\n    return params['name']\n")
        tool = prefix / "bin/serverledge-cli"
        with live.node(prefix / "bin/serverledge") as node:
            run(tool, "-P", node.port, "create", "--function", "hello", "--runtime", "python310", "--handler",
                "hello.handler", "--src", source, "--memory", "64")
            answer = run(tool, "-P", node.port, "invoke", "--function", "hello", "--param", "name:Ada")
            self.assertEqual(json.loads(answer)["Result"], '"Ada"')


class WithPkgConfig(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        compiler = [*(["ccache"] if shutil.which("ccache") else []), CXX]
        for name, module in (("core", "serverledge-core"), ("node", "serverledge")):
            run(*compiler, "-c", f"host/{name}.cpp", "-o", f"{name}.o", *pkg_config("--cflags", module))

    def link(self, name, *flags):
        run(CXX, f"{name}.o", "-o", name, f"-Wl,-rpath,{prefix}/lib", *flags)
        return folder / name

    def test_a_program_of_the_core_needs_no_transport_and_no_store(self):
        program = self.link("core", *pkg_config("--libs", "serverledge-core"))
        self.assertIn("edgecloud", run(program).split())
        self.assertIn("libserverledge-core.so.0", needed(program))
        self.assertEqual([n for n in needed(program) if re.search("grpc|sqlite|httplib", n)], [])

    def test_the_shared_library_finds_its_launcher(self):
        program = self.link("node", *pkg_config("--libs", "serverledge"))
        self.assertIn("libserverledge.so.0", needed(program))
        self.assertEqual(run(program), "42\n")

    def test_the_static_library_is_told_its_launcher(self):
        program = self.link("node", *pkg_config("--libs", "serverledge-static"))
        self.assertEqual([n for n in needed(program) if "serverledge" in n], [])
        self.assertEqual(run(program, *pkg_config("--variable=libexecdir", "serverledge-static")), "42\n")

    def test_static_flags_of_the_shared_module_serve_a_prefix_without_shared_libraries(self):
        only = folder / "static"
        only.mkdir()
        for archive in prefix.glob("lib/*.a"):
            (only / archive.name).symlink_to(archive)
        program = self.link("node", f"-L{only}", *(flag for flag in pkg_config("--libs", "--static", "serverledge")
                                                    if not flag.startswith("-L")))
        self.assertEqual([n for n in needed(program) if "serverledge" in n], [])

    def test_its_version_is_ours(self):
        version = re.search(r"project\(serverledge VERSION (\S+)", (pathlib.Path(SOURCE) / "CMakeLists.txt").read_text())
        self.assertEqual(pkg_config("--modversion", "serverledge"), [version[1]])


class WithCMake(unittest.TestCase):
    def configure(self, name, lists):
        source = folder / name
        source.mkdir()
        (source / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.25)\nproject(host CXX)\n" + lists)
        run(CMAKE, "-S", source, "-B", source / "build", *options())
        return source / "build"

    def test_a_program_can_be_linked_with_the_static_library(self):
        shutil.copy(folder / "host/node.cpp", folder / "node.cpp")
        build = self.configure("static-host", "find_package(serverledge 0.1 REQUIRED COMPONENTS static)\n"
                               "add_executable(host ../node.cpp)\ntarget_link_libraries(host serverledge::static)\n"
                               'file(WRITE ${CMAKE_BINARY_DIR}/libexec "${serverledge_LIBEXEC_DIR}")\n')
        run(CMAKE, "--build", build)
        self.assertEqual(run(build / "host", (build / "libexec").read_text()), "42\n")

    def test_the_core_is_a_component_and_what_there_is_not_is_said(self):
        self.configure("core-host", "find_package(serverledge REQUIRED COMPONENTS core)\n"
                       "if(NOT TARGET serverledge::core)\n  message(FATAL_ERROR none)\nendif()\n")
        with self.assertRaisesRegex(AssertionError, "nonsense"):
            self.configure("wrong-host", "find_package(serverledge REQUIRED COMPONENTS nonsense)\n")
        with self.assertRaisesRegex(AssertionError, "version"):
            self.configure("late-host", "find_package(serverledge 7 REQUIRED)\n")


    def test_the_programs_of_the_documentation_are_built_with_the_core(self):
        # One of them: the others are compiled with the tests.
        embedding, build = folder / "embedding", folder / "embedding/build"
        run(CMAKE, "-S", embedding, "-B", build, *options())
        run(CMAKE, "--build", build, "--target", "pool")
        self.assertIn("large: started", run(build / "pool"))


class Gateway(unittest.TestCase):
    def test_it_admits_by_its_rule_and_decides_by_its_policy(self):
        gateway, build = folder / "gateway", folder / "gateway/build"
        run(CMAKE, "-S", gateway, "-B", build, *options(), "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
        run(CMAKE, "--build", build)
        log = folder / "gateway.log"
        with live.program([*hide, build / "gateway", "0"], log) as process:
            def address():
                self.assertIsNone(process.poll(), log.read_text())
                return re.search(r"listening on http://127\.0\.0\.1:(\d+)\n", log.read_text())
            port = int(live.eventually(address, "the gateway listens")[1])

            def measure(client, samples):
                command = ["curl", "-s", "-w", " %{http_code}", f"http://127.0.0.1:{port}/measure", "-d",
                           json.dumps({"samples": samples})]
                if client:
                    command += ["-H", f"X-Client: {client}"]
                body, status = run(*command).rsplit(" ", 1)
                return int(status), json.loads(body)

            self.assertEqual(measure("ada", [1, 2, 6]), (200, {"count": 3, "mean": 3}))
            self.assertEqual(measure(None, [1])[0], 401)
            # The policy: what is large does not run at the edge.
            status, body = measure("ada", [0] * 5000)
            self.assertEqual((status, "too large for the edge" in body["message"]), (429, True), body)
            # The function's own failure.
            self.assertEqual(measure("ada", []), (500, {"message": "ZeroDivisionError: division by zero"}))
            # The admission rule: the fourth call of a client, and nobody else's.
            self.assertEqual(measure("ada", [1]), (429, {"message": "too many calls"}))
            self.assertEqual(measure("bob", [4]), (200, {"count": 1, "mean": 4}))
            self.assertEqual(live.request(port, "GET", "/decisions")[2], b'{"here":3,"cloud":0,"refused":1}')
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=live.DEADLINE), 0, log.read_text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
