"""What examples/deploy/ holds is understood by the programs that it is for. (That it works: tests/vm/run.sh.)

Usage: deploy_test.py <serverledge>"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import live_node as live  # noqa: E402

SERVER = sys.argv.pop(1) if __name__ == "__main__" and len(sys.argv) > 1 else ""
DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "examples" / "deploy"


def run(*command, **options):
    """What a command prints, both ways; it must end well."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=live.DEADLINE, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command} ends with {done.returncode}: {done.stdout}")
    return done.stdout


class Systemd(unittest.TestCase):
    def verify(self, unit):
        return run(live.installed("systemd-analyze"), "--man=no", "--recursive-errors=no", "verify", unit)

    def test_the_units_are_without_mistakes(self):
        with tempfile.TemporaryDirectory(prefix="serverledge-test-") as folder:
            for unit in (DEPLOY / "systemd").glob("*.service"):
                text = unit.read_text()
                start = re.search(r"^ExecStart=(/usr/bin/serverledge\S*) /etc/serverledge/(\S+)$", text, re.M)
                self.assertIsNotNone(start, f"{unit.name} starts something else")
                self.assertTrue((unit.parent / start[2]).exists(), f"{start[2]} is not there")
                # Nothing is installed where this runs.
                copy = pathlib.Path(folder) / unit.name
                copy.write_text(text.replace(start[1], "/bin/true"))
                self.assertEqual(self.verify(copy), "")
            self.assertEqual(len(list(pathlib.Path(folder).glob("*.service"))), 2)

    def test_verify_finds_mistakes(self):
        """Or the test above would not fail."""
        with tempfile.TemporaryDirectory(prefix="serverledge-test-") as folder:
            unit = pathlib.Path(folder) / "wrong.service"
            unit.write_text("[Service]\nExecStart=/bin/true\nProtectEverything=yes\n")
            with self.assertRaises(AssertionError) as raised:
                self.verify(unit)
            self.assertIn("ProtectEverything", str(raised.exception))

    def test_the_configuration_files_are_fine_also_with_what_is_commented_out(self):
        for name in ("serverledge-conf.yaml", "serverledge-lb.yaml"):
            text = (DEPLOY / "systemd" / name).read_text()
            with tempfile.TemporaryDirectory(prefix="serverledge-test-") as folder:
                for content in (text, re.sub(r"^#(?=[a-z.]+: )", "", text, flags=re.M)):
                    (pathlib.Path(folder) / name).write_text(content)
                    self.assertEqual(run(SERVER, "--check-config", f"{folder}/{name}"), "the configuration is fine\n")


class Ansible(unittest.TestCase):
    def test_the_playbook_and_its_inventory_are_without_mistakes(self):
        with tempfile.TemporaryDirectory(prefix="serverledge-test-") as home:
            environment = {**os.environ, "HOME": home, "ANSIBLE_LOCAL_TEMP": home, "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
            out = run(live.installed("ansible-playbook"), "--syntax-check", "-i", "inventory.example.yaml", "site.yaml",
                      cwd=DEPLOY / "ansible", env=environment)
            self.assertEqual(out.strip(), "playbook: site.yaml")


class Certificates(unittest.TestCase):
    SCRIPT = DEPLOY / "etcd" / "certificates.sh"

    def test_members_get_certificates_that_their_authority_has_signed_and_keep_them(self):
        with tempfile.TemporaryDirectory(prefix="serverledge-test-") as folder:
            run(self.SCRIPT, folder, "etcd1=10.0.0.1", "etcd2=fd00::2")
            first = (pathlib.Path(folder) / "etcd1.pem").read_text()
            run(self.SCRIPT, folder, "etcd1=10.0.0.1", "etcd3=10.0.0.3")
            self.assertEqual((pathlib.Path(folder) / "etcd1.pem").read_text(), first)
            for member, address in (("etcd1", "10.0.0.1"), ("etcd2", "fd00::2"), ("etcd3", "10.0.0.3")):
                for purpose in ("sslserver", "sslclient"):
                    run("openssl", "verify", "-CAfile", f"{folder}/ca.pem", "-purpose", purpose, "-verify_ip", address,
                        f"{folder}/{member}.pem")
            for key in pathlib.Path(folder).glob("*.key"):
                self.assertEqual(key.stat().st_mode & 0o077, 0, f"others can read {key.name}")

    def test_what_is_no_member_is_refused(self):
        with tempfile.TemporaryDirectory(prefix="serverledge-test-") as folder:
            for wrong in ("etcd1", "etcd1=", "../etcd1=10.0.0.1", "etcd1=10.0.0.1,DNS:example.org"):
                with self.assertRaises(AssertionError) as raised:
                    run(self.SCRIPT, folder, wrong)
                self.assertIn("is not MEMBER=ADDRESS", str(raised.exception))


class Chroot(unittest.TestCase):
    SCRIPT = """
        set -e
        mount -t tmpfs outside "$1"
        root=$1/root server=$2 checkout=$3
        mkdir -p "$root/tmp" "$root/run"
        for folder in bin sbin lib lib64; do
          if [ -L /$folder ]; then cp -P /$folder "$root"; fi
        done
        for folder in /usr /etc /dev /proc "$checkout"; do
          mkdir -p "$root$folder"
          mount --rbind "$folder" "$root$folder"
        done
        mount --make-rshared /  # as systemd does: nothing may get out that way
        before=$(cat /proc/self/mounts)
        status=0
        chroot "$root" /usr/bin/python3 -B -c "$4" "$server" "$checkout" || status=$?
        [ "$(cat /proc/self/mounts)" = "$before" ] || { echo "mounts have changed"; exit 9; }
        exit $status"""
    INSIDE = """if True:
        import sys
        sys.path.insert(0, sys.argv[2] + "/tests")
        from support import live_node as live
        with live.node(sys.argv[1], {"container.runtime": "sandbox"}) as node:
            node.create("answer", "def handler(params, context):\\n    return 42\\n")
            print(node.invoke("answer"))"""

    def test_a_node_serves_in_a_chroot_into_a_plain_folder(self):
        if os.geteuid() != 0:
            self.skipTest("only root can chroot")
        with tempfile.TemporaryDirectory(prefix="serverledge-test-") as folder:
            done = subprocess.run(["unshare", "--mount", "--propagation=private", "sh", "-c", self.SCRIPT, "sh", folder,
                                   os.path.abspath(SERVER), DEPLOY.parents[1], self.INSIDE],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=4 * live.DEADLINE)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn('"Result":"42"', done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
