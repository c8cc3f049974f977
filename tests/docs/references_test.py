"""What the pages refer to is there: other pages, options of the programs, configuration keys, targets of tests.

Usage: references_test.py <folder of the programs>"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from docs.pages import ROOT, all_pages  # noqa: E402

BIN = pathlib.Path(sys.argv[1]).resolve()
PAGES = all_pages()
INDEX = "docs/README.md"

# Programs of ours, and how they are asked for their options. One that is not built is not checked, and said so.
COMPILED = ("serverledge", "serverledge-cli", "serverledge-bench", "serverledge-lb")
SCRIPTS = ("tests/run.sh", "tests/vm/run.sh", "examples/quickstart.sh", "examples/images/build.sh")

# Page -> the program whose every option it tells of, and no other.
COMPLETE = {"docs/cli.md": "serverledge-cli", "docs/benchmarking.md": "serverledge-bench"}

# Options of other programs that the text names.
FOREIGN = {"--target", "--preset", "--network", "--add-host", "--privileged", "--prefix", "--init", "--user", "--memory-swap",
           "--filter", "--build", "--install", "--allow-downgrades", "--build-arg", "--seconds"}

# Configuration files for other programs: the beginning of their block.
NOT_OURS = ("scrape_configs:", "rule_files:", "receivers:", "services:", "apiVersion:")

# Dotted words that begin as a key does, and are none.
NO_KEYS = {"store.db", "registry.json"}


def environment():
    # Not those of who runs the tests.
    return {name: value for name, value in os.environ.items() if not name.startswith("SERVERLEDGE_")}


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, env=environment(), cwd="/")


def options_in(text):
    return set(re.findall(r"(?<![\w\-/])--?[A-Za-z][\w-]*", text))


class Programs:
    """Options by program and, of the command line, by command: ('serverledge-cli', 'create')."""

    def __init__(self):
        self.options = {}
        for name in COMPILED:
            if (BIN / name).exists():
                self.ask((name,), BIN / name)
        for name in SCRIPTS:
            self.ask((name,), ROOT / name)
        for command in re.findall(r"^  ([a-z]+)\s", self.help_of_cli.split("Subcommands:")[1], re.M):
            self.ask(("serverledge-cli", command), BIN / "serverledge-cli", command)

    def ask(self, key, program, *words):
        done = run(program, *words, "--help")
        assert done.returncode == 0, f"{key} --help: {done.stdout}{done.stderr}"
        self.options[key] = options_in(done.stdout)
        if key == ("serverledge-cli",):
            self.help_of_cli = done.stdout

    def of(self, program):
        return set().union(*(options for key, options in self.options.items() if key[0] == program))

    def unknown(self, command):
        """Options in a command that its program, one of ours, does not have."""
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:
            return []  # a piece of something
        wrong, known, at_head = [], None, True
        for index, word in enumerate(words):
            name = re.sub(r"^(\./|build/release/bin/)", "", word)
            if at_head and (name,) in self.options:
                known, program = self.options[(name,)], name
                following = words[index + 1] if index + 1 < len(words) else ""
                if (name, following) in self.options:
                    known = known | self.options[(name, following)]
                elif name == "serverledge-cli":
                    known = self.of(name)
            elif re.fullmatch(r"[|&;()]+", word):
                known = None
            elif known is not None and re.match(r"--?[A-Za-z]", word) and word.split("=")[0] not in known:
                wrong.append(f"{program} has no {word}")
            at_head = re.fullmatch(r"[|&;()]+|do|then|[A-Za-z_]\w*=\S*", word) is not None
        return wrong


class References(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.programs = Programs()
        done = run(BIN / "serverledge", "--print-config")
        cls.keys = set(re.findall(r"^([a-z][\w.]*) = ", done.stdout, re.M))
        assert "api.port" in cls.keys, done

    def none(self, found, advice):
        self.assertFalse(found, "\n" + "\n".join(found) + f"\n({advice})")

    def test_links_lead_somewhere(self):
        wrong = []
        by_path = {page.path: page for page in PAGES}
        for page in PAGES:
            for line, link in page.links():
                if re.match(r"[a-z]+:", link):
                    continue
                path, _, anchor = link.partition("#")
                target = (page.path.parent / path).resolve() if path else page.path
                if not target.exists():
                    wrong.append(f"{page.name}:{line}: {link}: there is no {path}")
                elif anchor and target in by_path and anchor not in by_path[target].anchors():
                    wrong.append(f"{page.name}:{line}: {link}: no such heading in {target.name}")
        self.none(wrong, "rename the link, or the heading back")

    def test_every_page_is_in_the_index_and_the_index_in_the_readme(self):
        index = next(page for page in PAGES if page.name == INDEX)
        linked = {(index.path.parent / link.partition("#")[0]).resolve() for _, link in index.links() if ":" not in link}
        self.none([f"{page.name} is not in {INDEX}" for page in PAGES
                   if page.path not in linked | {index.path, ROOT / "README.md"}], f"add a line 'I want to ...' to {INDEX}")
        readme = next(page for page in PAGES if page.name == "README.md")
        self.assertIn(INDEX, [link for _, link in readme.links()])

    def test_options_in_commands_are_options_of_their_programs(self):
        wrong = []
        for page in PAGES:
            commands = [(line, span) for line, span in page.spans()]
            for block in page.blocks():
                if block.language in ("sh", "console"):
                    commands += block.commands()
            wrong += [f"{page.name}:{line}: {why}" for line, command in commands for why in self.programs.unknown(command)]
        self.none(wrong, "see --help")

    def test_options_in_the_text_are_options_of_some_program(self):
        known = FOREIGN.union(*self.programs.options.values())
        scripts = "".join(path.read_text() for path in (ROOT / "tests/benchmarks").glob("*.py"))
        known |= set(re.findall(r'add_argument\("(--[\w-]+)"', scripts))
        wrong = []
        for page in PAGES:
            for line, span in page.spans():
                if re.match(r"--[a-z]", span):
                    wrong += [f"{page.name}:{line}: no program of ours has {option}" for option in options_in(span) - known]
        self.none(wrong, "of another program? Then add it to FOREIGN in tests/docs/references_test.py")

    def test_pages_of_a_program_tell_of_every_option(self):
        for name, program in COMPLETE.items():
            page = next(page for page in PAGES if page.name == name)
            told = set().union(*(options_in(span) for _, span in page.spans()))
            named = {option for option in self.programs.of(program) if option.startswith("--")} - {"--help"}
            self.none([f"{name} does not tell of {option}" for option in sorted(named - told)], f"of {program} --help")

    def test_keys_in_the_text_are_configuration_keys(self):
        roots = {key.split(".")[0] for key in self.keys}
        wrong = []
        for page in PAGES:
            for line, span in page.spans():
                key = re.match(r"([a-z]+(?:\.[a-z_]+[0-9]*)+)(?=$|[:= ])", span)
                if not key or key[1].split(".")[0] not in roots or key[1] in NO_KEYS:
                    continue
                if re.search(r"\.(md|py|js|ya?ml|json|db|sh|cpp|hpp|service|toml|so|handler|lock|key|pem)$", key[1]):
                    continue
                if key[1] not in self.keys and not any(known.startswith(key[1] + ".") for known in self.keys):
                    wrong.append(f"{page.name}:{line}: `{key[1]}` is no configuration key")
        self.none(wrong, "serverledge --print-config shows them all; what only looks like a key: NO_KEYS in tests/docs/references_test.py")

    def test_configuration_files_of_the_pages_are_right(self):
        wrong, checked = [], 0
        for page in PAGES:
            for block in page.blocks():
                first = next((line for line in block.text.splitlines() if line and not line.startswith("#")), "")
                if block.language not in ("yaml", "toml") or first.startswith(NOT_OURS):
                    continue
                with tempfile.NamedTemporaryFile("w", suffix=f".{block.language}") as file:
                    file.write(block.text)
                    file.flush()
                    done = run(BIN / "serverledge", "--check-config", file.name)
                checked += 1
                if done.returncode != 0:
                    wrong.append(f"{page.name}:{block.line}: {(done.stdout + done.stderr).replace(file.name, 'the block').strip()}")
        self.none(wrong, "for another program? Then add its beginning to NOT_OURS in tests/docs/references_test.py")
        self.assertGreater(checked, 4)


class TheCheckItself(unittest.TestCase):
    def test_it_finds_options_that_are_not_there(self):
        programs = Programs()
        for command in ("serverledge-cli create --nonsense x", "serverledge --check-confg a.yaml", "x | serverledge-cli poll --raw",
                        "id=$(serverledge-cli invoke --asynchronous)", "build/release/bin/serverledge-bench --rat 5",
                        "tests/run.sh --everything"):
            self.assertTrue(programs.unknown(command), command)
        for command in ("serverledge-cli create -f x --src x.py", "serverledge --check-config a.yaml", "curl -X POST",
                        "echo '{\"n\": 97}' | serverledge-cli invoke -f isprime -j /dev/stdin --raw", "tests/run.sh --all",
                        "serverledge-cli -v list | grep --count x", "serverledge-bench -f a --params '{\"x\": \"--y\"}'"):
            self.assertEqual(programs.unknown(command), [], command)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
