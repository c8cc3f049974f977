#!/usr/bin/env python3
"""What an operator does on a Debian 12 with systemd: the package and its service, and a cluster by examples/deploy/ansible.

Usage: deployment.py deployment

Prints what checks.py prints."""

import json
import os
import pathlib
import re
import subprocess
import time
import urllib.request

import checks
from checks import checkout, patience, say

packages = sorted(path for path in (checkout / "build/release/packages").glob("*.deb") if "-dev_" not in path.name)
functions = checkout / "examples/functions"
kept = pathlib.Path("/var/lib/serverledge")


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=2 * patience, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))} ends with {done.returncode}:\n{done.stdout[-3000:]}"
    return done.stdout


def eventually(is_so, what, details=lambda: ""):
    deadline = time.monotonic() + patience
    while True:
        try:
            if value := is_so():
                return value
        except OSError:
            pass
        assert time.monotonic() < deadline, f"not in time: {what}\n{details()}"
        time.sleep(0.2)


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=patience) as answer:
        return answer.read().decode()


def log(unit):
    return run("journalctl", "--no-pager", "--lines=40", "--unit", unit)


def ready(port=1323, unit="serverledge"):
    eventually(lambda: get(port, "/readyz") is not None, f"{unit} is ready", lambda: log(unit))


def main_process(unit="serverledge"):
    return run("systemctl", "show", "--value", "--property=MainPID", unit).strip()


def state(unit="serverledge"):
    return run("systemctl", "show", "--value", "--property=ActiveState", unit).strip()


def cli(*arguments, port=1323):
    return run("serverledge-cli", "--port", str(port), *map(str, arguments))


def create(name, runtime, handler, source, port=1323):
    cli("create", "--function", name, "--runtime", runtime, "--handler", handler, "--memory", "128", "--src", source, port=port)


def greets(function, port=1323):
    answer = json.loads(cli("invoke", "--function", function, "--param", "name:operator", port=port))
    assert answer["Success"] and "operator" in answer["Result"], answer


def commands(containing, language="sh"):
    """The block of docs/deployment.md that has this text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", (checkout / "docs/deployment.md").read_text(), re.M | re.S)
    found = [block for block in blocks if containing in block]
    assert len(found) == 1, f"{len(found)} blocks of docs/deployment.md have '{containing}'"
    return found[0]


def files():
    """All that is installed and kept, without what the system itself writes at any time."""
    left_out = re.compile(r"^/(proc|sys|dev|run/(?!serverledge)|tmp|root/\.|var/(log|tmp|cache|lib/(dpkg|apt|systemd|private))/)|__pycache__"
                          r"|^/etc/(passwd|group|shadow|gshadow)-$|^/etc/\.pwd\.lock$|^" + re.escape(str(checkout)))
    found = set()
    for folder, below, names in os.walk("/"):
        below[:] = [name for name in below if not left_out.search(os.path.join(folder, name) + "/")]
        found.update(path for name in below + names if not left_out.search(path := os.path.join(folder, name)))
    return found


def install():
    run("apt-get", "install", "--yes", "--no-install-recommends", *packages, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def a_package_installs_serves_and_leaves_nothing_after_purge():
    before = files()
    install()
    ready()
    user = run("ps", "-o", "user:32=", "-p", main_process()).strip()
    assert user == "serverledge", f"it runs as {user}"
    notices = log("serverledge")
    assert "control groups" not in notices and "missing" not in notices, notices

    create("python", "python310", "hello.handler", functions / "hello.py")
    create("nodejs", "nodejs17", "hello", functions / "hello.js")
    greets("python")
    greets("nodejs")

    # A function that is over its memory ends alone.
    hog = pathlib.Path("/tmp/hog.py")
    hog.write_text("def handler(params, context):\n    kept = []\n    while True:\n        kept.append(bytearray(1 << 20))\n")
    create("hog", "python310", "hog.handler", hog)
    hog.unlink()
    process = main_process()
    refused = subprocess.run(["serverledge-cli", "invoke", "--function", "hog"], capture_output=True, text=True, timeout=patience)
    assert '"memory"' in refused.stdout + refused.stderr, refused
    greets("python")
    assert main_process() == process, "the service was restarted"

    # It comes back, with its functions, also where it was killed.
    run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "serverledge")
    eventually(lambda: main_process() not in ("0", process), "systemd starts it again", lambda: log("serverledge"))
    ready()
    greets("nodejs")

    # A mistake in the configuration is told, and not tried again and again.
    configuration = pathlib.Path("/etc/serverledge/serverledge-conf.yaml")
    right = configuration.read_text()
    configuration.write_text(right + "api.prot: 1\n")
    run("systemctl", "restart", "serverledge")
    # (Between two tries it would be "activating".)
    eventually(lambda: state() == "failed", "the service fails", lambda: log("serverledge"))
    assert "api.port" in log("serverledge"), log("serverledge")
    configuration.write_text(right)
    run("systemctl", "start", "serverledge")
    ready()

    backup = pathlib.Path("/root/store-backup.db")
    run("sh", "-ec", commands("cp -p /var/lib/serverledge/store.db"))
    ready()
    cli("delete", "--function", "python")
    run("sh", "-ec", commands("install -o serverledge"))
    backup.unlink()
    ready()
    greets("python")

    # As root, too, by the drop-in of the docs.
    run("sh", "-ec", "mkdir -p /etc/systemd/system/serverledge.service.d && cat >/etc/systemd/system/serverledge.service.d/root.conf",
        input=commands("User=root", "ini"))
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "serverledge")
    ready()
    assert run("ps", "-o", "user:32=", "-p", main_process()).strip() == "root"
    greets("nodejs")
    run("rm", "-r", "/etc/systemd/system/serverledge.service.d")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "serverledge")
    ready()
    greets("python")

    run("apt-get", "remove", "--yes", *names_of_packages())
    assert not subprocess.run(["systemctl", "is-active", "--quiet", "serverledge"]).returncode == 0, "its service still runs"
    assert kept.exists(), "its functions are gone"
    install()
    ready()
    greets("python")

    run("apt-get", "purge", "--yes", *names_of_packages())
    left = files() - before
    assert not left, f"left behind: {sorted(left)[:40]}"
    assert not [line for line in checks.processes().values() if "serverledge" in line], checks.processes()


def names_of_packages():
    return [run("dpkg-deb", "--field", package, "Package").strip() for package in packages]


# ---------------------------------------------------------------------------------------------------- a cluster by Ansible

work = pathlib.Path("/tmp/deployment")


def play(area):
    """The playbook with this machine as all there is: etcd, a node, a load balancer."""
    machine = {"ansible_connection": "local", "ansible_host": "127.0.0.1", "ansible_python_interpreter": "/usr/bin/python3"}
    inventory = {"all": {
        "vars": {"serverledge_packages": list(map(str, packages)), "etcd_pki": str(work / "pki"), "etcd_root_password": "root's",
                 "etcd_password": "nodes':\"#1\"", "serverledge_area": area, "serverledge_retries": patience,
                 "serverledge_settings": {"container.start.timeout": patience},
                 "serverledge_load_balancer_settings": {"api.port": 1380}},
        "children": {"etcd": {"hosts": {"box": machine}}, "nodes": {"children": {"edge": {"hosts": {"box": machine}}}},
                     "load_balancers": {"hosts": {"box": machine}}}}}
    (work / "inventory.json").write_text(json.dumps(inventory))
    out = run("ansible-playbook", "-i", work / "inventory.json", "site.yaml", cwd=checkout / "examples/deploy/ansible",
              env={**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_RETRY_FILES_ENABLED": "0"})
    changed = re.search(r"^box +: ok=\d+ +changed=(\d+) ", out, re.M)
    assert changed, out
    return int(changed[1]), out


def etcdctl(*arguments):
    return run("etcdctl", "--endpoints=https://127.0.0.1:2379", "--cacert=/etc/etcd/ca.pem", "--user=serverledge", "--password=nodes':\"#1\"",
               *arguments, env={**os.environ, "ETCDCTL_API": "3"})


def the_playbook_sets_up_etcd_a_node_and_a_load_balancer():
    work.mkdir(exist_ok=True)
    run(checkout / "examples/deploy/etcd/certificates.sh", work / "pki", "box=127.0.0.1")
    play("ROME")
    asked = subprocess.run(["etcdctl", "--endpoints=https://127.0.0.1:2379", "--cacert=/etc/etcd/ca.pem", "get", "x"],
                           capture_output=True, text=True, timeout=patience, env={**os.environ, "ETCDCTL_API": "3"})
    assert asked.returncode != 0, "etcd asks for no password"
    assert "registry/ROME/" in etcdctl("get", "--prefix", "--keys-only", "registry/"), "the node has not registered"
    create("greeter", "python310", "hello.handler", functions / "hello.py")
    assert "/function/greeter" in etcdctl("get", "--prefix", "--keys-only", "/function/")
    eventually(lambda: subprocess.run(["serverledge-cli", "--port", "1380", "invoke", "--function", "greeter"], capture_output=True,
                                      timeout=patience).returncode == 0, "the load balancer hands calls on", lambda: log("serverledge-lb"))
    greets("greeter", port=1380)


def the_playbook_applies_what_has_changed_and_leaves_alone_what_has_not():
    process = main_process()
    changed, out = play("MILAN")
    # Its configuration and the load balancer's, and the restarts of both.
    assert changed == 4, out
    assert main_process() != process, "the node was not restarted"
    keys = etcdctl("get", "--prefix", "--keys-only", "registry/")
    assert "registry/MILAN/" in keys and "registry/ROME/" not in keys, keys
    greets("greeter")


def main():
    if not packages:
        return say("FAIL", "a package is built", time.monotonic(), f"there is none in {checkout}/build/release/packages")
    for check in (a_package_installs_serves_and_leaves_nothing_after_purge, the_playbook_sets_up_etcd_a_node_and_a_load_balancer,
                  the_playbook_applies_what_has_changed_and_leaves_alone_what_has_not):
        checks.check_one(check)


if __name__ == "__main__":
    main()
