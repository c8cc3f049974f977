"""Every command of the pages is run: here, against a real node and in a folder of its own, or by the test that the table below
names. Files that a page shows ("Write `greet.py`:") are written as it shows them; what it says of an answer ("# ...") is
looked for in what the commands print.

Usage: commands_test.py <folder of the programs>"""

import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from docs.pages import ROOT, all_pages  # noqa: E402
from support import live_node as live  # noqa: E402

BIN = pathlib.Path(sys.argv[1]).resolve()
PAGES = all_pages()
EXAMPLES = ROOT / "examples/functions"

# Programs that may be run here: they reach no further than the folder and the node.
HARMLESS = {"serverledge-cli", "serverledge-bench", "curl", "jq", "echo", "cat", "mkdir", "cp", "export", "for", "do", "done"}

# Where other commands are run: page, how the command begins, the file that runs it, and a text by which it is found there.
ELSEWHERE = [
    ("README.md", "examples/quickstart.sh", "tests/vm/guest/checks.py", '"examples/quickstart.sh"'),
    ("README.md", "tests/run.sh", ".ci/run", "tests/run.sh"),
    ("README.md", "build/release/bin/serverledge", "tests/support/live_node.py", "program([server, config]"),
    ("README.md", "cmake --install", "tests/packaging/install_test.py", '"--install", BUILD'),
    ("docs/c-api.md", "cc -std=c11 example.c", "tests/bindings/install_test.py", '"--cflags", "--libs", "serverledge-c"'),
    ("docs/cluster.md", "etcdctl role add", "tests/docs/commands_test.py", "test_the_rights_that_the_page_gives_are_enough"),
    ("docs/cluster.md", "for prefix in", "tests/docs/commands_test.py", "test_the_rights_that_the_page_gives_are_enough"),
    ("docs/configuration.md", "serverledge --check-config", "tests/integration/server_command_test.cpp", '"--check-config"'),
    ("docs/configuration.md", "serverledge --print-config", "tests/integration/server_command_test.cpp", '"--print-config"'),
    ("docs/configuration.md", "serverledge /etc", "tests/support/live_node.py", "program([server, config]"),
    ("docs/configuration.md", "SERVERLEDGE_API_PORT=", "tests/integration/server_command_test.cpp", "SERVERLEDGE_SCHEDULER_QUEUE_CAPACITY=8"),
    ("docs/configuration.md", "serverledge", "tests/integration/server_command_test.cpp", "wins over one in the home folder"),
    ("docs/deployment.md", "cmake --preset release", "tests/run.sh", 'cmake --preset "$preset"'),
    ("docs/deployment.md", "cpack --config", "tests/packaging/deb_test.sh", "cpack -G DEB"),
    ("docs/deployment.md", "cd build/release/packages", "tests/packaging/deb_test.sh", "cpack -G DEB"),
    ("docs/deployment.md", "apt-get install ./", "tests/vm/guest/deployment.py", 'run("apt-get", "install"'),
    ("docs/deployment.md", "serverledge-cli status", "tests/cli/wire_test.cpp", '"status"'),
    ("docs/deployment.md", "serverledge --check-config", "tests/deploy/deploy_test.py", '"--check-config"'),
    ("docs/deployment.md", "systemctl", "tests/vm/guest/deployment.py", 'commands("cp -p /var/lib/serverledge/store.db")'),
    ("docs/deployment.md", "journalctl -u serverledge", "tests/vm/guest/deployment.py", '"journalctl"'),
    ("docs/deployment.md", "examples/deploy/etcd/certificates.sh", "tests/deploy/deploy_test.py", "certificates.sh"),
    ("docs/deployment.md", "../etcd/certificates.sh", "tests/deploy/deploy_test.py", "certificates.sh"),
    ("docs/deployment.md", "export ETCDCTL_API", "tests/vm/guest/deployment.py", '"etcdctl", "--endpoints='),
    ("docs/deployment.md", "export ETCD_ROOT", "tests/vm/guest/deployment.py", '"etcd_root_password"'),
    ("docs/deployment.md", "etcdctl", "tests/docs/commands_test.py", "test_the_rights_that_the_page_gives_are_enough"),
    ("docs/deployment.md", "for prefix in", "tests/docs/commands_test.py", "test_the_rights_that_the_page_gives_are_enough"),
    ("docs/deployment.md", "cd examples/deploy/ansible", "tests/vm/guest/deployment.py", "examples/deploy/ansible"),
    ("docs/deployment.md", "cp inventory.example.yaml", "tests/deploy/deploy_test.py", "inventory.example.yaml"),
    ("docs/deployment.md", "ansible-playbook", "tests/vm/guest/deployment.py", '"ansible-playbook"'),
    ("docs/deployment.md", "cp -p /var/lib", "tests/vm/guest/deployment.py", 'commands("cp -p /var/lib/serverledge/store.db")'),
    ("docs/deployment.md", "rm -f /var/lib", "tests/vm/guest/deployment.py", 'commands("install -o serverledge")'),
    ("docs/deployment.md", "install -o serverledge", "tests/vm/guest/deployment.py", 'commands("install -o serverledge")'),
    ("docs/docker.md", "docker ps --filter label=serverledge.node", "tests/runtime/docker_runtime_test.cpp", "engine.containers(under_test.label())"),
    ("docs/embedding.md", "cmake --install", "tests/packaging/install_test.py", '"--install", BUILD'),
    ("docs/embedding.md", "cmake -S examples/embedding", "tests/docs/CMakeLists.txt", "examples/embedding"),
    ("docs/embedding.md", "cmake --build", "tests/docs/CMakeLists.txt", "examples/embedding"),
    ("docs/images.md", "examples/images/build.sh", "tests/support/docker_engine.sh", "examples/images/build.sh"),
    ("docs/images.md", "docker build -t serverledge-", "examples/images/build.sh", "build"),
    ("docs/images.md", "docker build -t custom-python", "tests/integration/custom_images_test.cpp", '"build", "-t"'),
    ("docs/images.md", "serverledge-cli create -f fit", "tests/integration/custom_images_test.cpp", '"--custom_image"'),
    ("docs/images.md", "serverledge-cli invoke -f fit", "tests/integration/custom_images_test.cpp", '"fit", "-j"'),
    ("docs/load-balancer.md", "serverledge-lb", "tests/integration/load_balancer_test.cpp", "SERVERLEDGE_LB"),
    ("docs/load-balancer.md", "serverledge-cli --host", "tests/cli/wire_test.cpp", '"invoke"'),
    ("docs/python.md", "apt-get install pybind11-dev", "tests/support/packages.sh", "pybind11-dev"),
    ("docs/python.md", "cmake --preset release", "tests/run.sh", 'cmake --preset "$preset"'),
    ("docs/python.md", "cmake --install", "tests/bindings/install_test.py", '"--install"'),
    ("docs/python.md", "PYTHONPATH=", "tests/bindings/install_test.py", "PYTHONPATH="),
    # Packages come from registries, which tests do not ask; what is in the folder then is tested with Debian's.
    ("docs/writing-functions.md", "mkdir app", "tests/integration/packages_test.cpp", "the numpy that its archive brings"),
    ("docs/writing-functions.md", "python3 -m pip install", "tests/integration/packages_test.cpp", "the numpy that its archive brings"),
    ("docs/writing-functions.md", "serverledge-cli create -f stats --src app/", "tests/cli/source_archive_test.cpp", "directory"),
    ("docs/writing-functions.md", "cd app && npm install", "tests/integration/packages_test.cpp", "the numpy that its archive brings"),
    ("docs/writing-functions.md", "serverledge-cli create -f text --src app/", "tests/cli/source_archive_test.cpp", "directory"),
    ("examples/gateway/README.md", "cmake --install", "tests/packaging/install_test.py", '"--install", BUILD'),
    ("examples/gateway/README.md", "cmake -S examples/gateway", "tests/packaging/install_test.py", '"-S", gateway, "-B", build'),
    ("examples/gateway/README.md", "cmake --build", "tests/packaging/install_test.py", '"--build", build'),
    ("examples/gateway/README.md", "build/gateway/gateway", "tests/packaging/install_test.py", 'build / "gateway"'),
    ("examples/gateway/README.md", "curl http://127.0.0.1:8080/measure", "tests/packaging/install_test.py", '/measure'),
    ("examples/gateway/README.md", "curl http://127.0.0.1:8080/decisions", "tests/packaging/install_test.py", '/decisions'),
    ("tests/benchmarks/README.md", "cmake --preset release", "tests/run.sh", 'cmake --preset "$preset"'),
    ("tests/benchmarks/README.md", "tests/benchmarks/", "tests/docs/commands_test.py", "test_benchmarks_can_be_started"),
    ("examples/offloading/README.md", "examples/offloading/run.sh", "tests/integration/CMakeLists.txt", "examples/offloading/run.sh"),
]


def heads(command):
    """The programs that a command line runs."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found, at_head = [], True
    for word in lexer:
        if re.fullmatch(r"[|&;()]+|do|\S*=\$", word):
            at_head = True
        elif at_head and not re.match(r"[A-Za-z_]\w*=", word):
            found.append(word)
            at_head = False
    return found


def runs_elsewhere(page, command):
    return next((entry for entry in ELSEWHERE if entry[0] == page and command.startswith(entry[1])), None)


def commands_of(page):
    """(block, line, command) of each command of a page."""
    for block in page.blocks():
        if block.language in ("sh", "console", "bash", "shell"):
            for line, command in block.commands():
                yield block, line, command


def answers(command):
    """What the comment behind a command says it prints: JSON, or nothing that could be compared."""
    comment = re.search(r"\s#\s+([{\[\"].*[}\]\"])\s*$", command)
    return comment[1] if comment else None


class Table(unittest.TestCase):
    def test_every_command_is_run_somewhere(self):
        missing = []
        for page in PAGES:
            for _, line, command in commands_of(page):
                if not runs_elsewhere(page.name, command) and not set(heads(command)) <= HARMLESS:
                    missing.append(f"{page.name}:{line}: nothing runs: {command.splitlines()[0]}")
        self.assertFalse(missing, "\n" + "\n".join(missing) +
                         "\n(add a line to ELSEWHERE in tests/docs/commands_test.py that names the test which runs it)")

    def test_every_entry_is_of_use_and_names_what_is_there(self):
        wrong, used = [], {runs_elsewhere(page.name, command) for page in PAGES for _, _, command in commands_of(page)}
        for entry in ELSEWHERE:
            page, beginning, file, text = entry
            if entry not in used:
                wrong.append(f"{page} has no command '{beginning}' any more, or an earlier entry takes it")
            if not (ROOT / file).is_file() or text not in (ROOT / file).read_text():
                wrong.append(f"'{text}', by which {file} runs '{beginning}' of {page}, is not there")
        self.assertFalse(wrong, "\n" + "\n".join(wrong))

    def test_benchmarks_can_be_started(self):
        page = next(page for page in PAGES if page.name == "tests/benchmarks/README.md")
        named = [heads(command)[0] for _, _, command in commands_of(page) if command.startswith("tests/benchmarks/")]
        self.assertGreater(len(named), 4)
        for script in named:
            done = subprocess.run([ROOT / script, "--help"], capture_output=True, text=True, timeout=live.DEADLINE)
            self.assertEqual(done.returncode, 0, done.stderr)


class Commands(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        live.installed("jq")
        live.installed("curl")
        cls.node = cls.enterClassContext(live.node(BIN / "serverledge", {"container.pool.memory": 2048, "scheduler.queue.capacity": 1000}))

    def prepare(self, page, folder):
        """The folder and the node as a reader has them who comes to the page."""
        for name in json.loads(self.node.request("GET", "/function")[2]):
            self.node.request("POST", "/delete", {"Name": name})
        for file in EXAMPLES.glob("*.*s"):
            shutil.copy(file, folder)
        for file in EXAMPLES.glob("*.py"):
            shutil.copy(file, folder)
        created = set(re.findall(r"(?:create (?:-u )?-f|--function) (\w[\w-]*)", page.text))
        for name in ("hello", "isprime", "sieve", "inc", "fibonacci"):
            if name not in created or not re.search(rf"create.* (?:-f|--function) {name}\b", page.text):
                self.node.create(name, (EXAMPLES / f"{name}.py").read_text())

    def script(self, page, folder):
        """Writes the page's files, and gives its commands as a script that marks where each begins."""
        lines = []
        for block in page.blocks():
            named = re.search(r"`([\w-]+\.(?:py|js|json))`:$", block.before)
            if named and block.language not in ("sh", "console"):
                lines.append(f"cat > {named[1]} <<'END OF FILE'\n{block.text}END OF FILE")
        for block, line, command in commands_of(page):
            if not runs_elsewhere(page.name, command) and set(heads(command)) <= HARMLESS:
                command = command.replace("http://127.0.0.1:1323", f"http://127.0.0.1:{self.node.port}")
                lines.append(f"echo '@@ {line}'\n{command}\n")
        return "\n".join(lines) if any(line.startswith("echo '@@") for line in lines) else ""

    def run_page(self, page, folder):
        self.prepare(page, folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SERVERLEDGE_")}
        environment.update(PATH=f"{BIN}:{os.environ['PATH']}", SERVERLEDGE_PORT=str(self.node.port), HOME=str(folder))
        done = subprocess.run(["bash", "-euo", "pipefail"], input=self.script(page, folder), cwd=folder, env=environment,
                              capture_output=True, text=True, timeout=2 * live.DEADLINE)
        said = {int(part.split("\n", 1)[0]): part.split("\n", 1)[1] for part in done.stdout.split("@@ ")[1:]}
        last = max(said, default=0)
        self.assertEqual(done.returncode, 0, f"{page.name}:{last}: {said.get(last, '')}{done.stderr}")
        return said

    def test_pages(self):
        pages = [page for page in PAGES if self.script(page, None)]
        self.assertGreaterEqual(len(pages), 5)
        for page in pages:
            with self.subTest(page.name), tempfile.TemporaryDirectory(prefix="serverledge-test-") as folder:
                said = self.run_page(page, pathlib.Path(folder))
                for block, line, command in commands_of(page):
                    if line in said and answers(command):
                        self.assertIn(answers(command), said[line], f"{page.name}:{line}")
                    if line in said and block.language == "console":
                        self.compare(page, block, said[line])

    def compare(self, page, block, said):
        """Output that is shown has other numbers each time, but no other lines."""
        shown = {re.split(r"\d", line)[0] for line in block.text.splitlines() if not line.startswith("$ ")}
        for line in said.splitlines():
            self.assertIn(re.split(r"\d", line)[0], shown, f"{page.name}:{block.line} does not show '{line}'")


class Etcd(unittest.TestCase):
    """What docs/cluster.md grants to nodes is enough for one, and docs/deployment.md grants the same."""

    def rights(self, page):
        found = [command for _, _, command in commands_of(next(p for p in PAGES if p.name == page))
                 if command.startswith(("etcdctl role add", "for prefix in"))]
        self.assertEqual(len(found), 2)
        return "\n".join(found)

    def test_the_rights_that_the_page_gives_are_enough(self):
        etcd, etcdctl = live.installed("etcd"), live.installed("etcdctl")
        rights = self.rights("docs/cluster.md")
        self.assertEqual(rights, self.rights("docs/deployment.md"))
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="serverledge-test-"))
            client, peer = live.free_port(), live.free_port()
            at, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
            stack.enter_context(live.program(
                [etcd, "--data-dir", f"{folder}/data", "--listen-client-urls", at, "--advertise-client-urls", at, "--listen-peer-urls", peers,
                 "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"], f"{folder}/etcd.log"))
            environment = {**os.environ, "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": at, "PATH": f"{os.path.dirname(etcdctl)}:{os.environ['PATH']}"}

            def shell(commands):
                return subprocess.run(["bash", "-euo", "pipefail", "-c", commands], env=environment, capture_output=True, text=True,
                                      timeout=live.DEADLINE)

            live.eventually(lambda: shell("etcdctl endpoint health").returncode == 0, "etcd answers")
            done = shell("etcdctl user add root:secret; etcdctl user grant-role root root\n" + rights +
                         "\netcdctl user add serverledge:word; etcdctl user grant-role serverledge serverledge; etcdctl auth enable")
            self.assertEqual(done.returncode, 0, done.stderr)
            node = stack.enter_context(live.node(BIN / "serverledge", {
                "etcd.address": f"127.0.0.1:{client}", "etcd.user": "serverledge", "etcd.password": "word", "registry.udp.port": 0}))
            node.create("hello", (EXAMPLES / "hello.py").read_text())
            self.assertEqual(node.invoke("hello")[0], 200)
            accepted = json.loads(node.invoke("hello", Async=True)[2])["ReqId"]
            live.eventually(lambda: node.request("GET", f"/poll/{accepted}")[0] == 200, "the asynchronous answer is in etcd")
            self.assertEqual(node.request("POST", "/delete", {"Name": "hello"})[0], 200)
            self.assertNotIn("permission denied", node.log())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
