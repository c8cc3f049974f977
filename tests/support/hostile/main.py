"""What a hostile function tries. Every attempt is a function of this module; it returns None if it was denied, and what
it got if it was not. Params: {"attempt": name, ...what the test knows of the machine}."""

import ctypes
import errno
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_ATTEMPTS = {}
_X86_64 = os.uname().machine == "x86_64"


def attempt(function):
    _ATTEMPTS[function.__name__] = function
    return function


def handler(params, context):
    if params["attempt"] == "list":
        return sorted(_ATTEMPTS)
    return _ATTEMPTS[params["attempt"]](params)


# ---- helpers ---------------------------------------------------------------------------------------------------------


def first(*actions):
    """What the first of the actions gave that was not refused."""
    for action in actions:
        try:
            got = action()
        except (OSError, ValueError):
            continue
        if got is not None:
            return repr(got)[:500]
    return None


def read(path):
    with open(path, "rb") as file:
        return path, file.read(200)


def write(path, flags=os.O_WRONLY | os.O_CREAT):
    os.close(os.open(path, flags, 0o600))
    return "opened for writing: " + path


def call(name, *arguments):
    """A system call by its number; None if it failed."""
    number = _NUMBERS[name][0 if _X86_64 else 1]
    if number is None:
        return None
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    return None if result < 0 else f"{name} returned {result}"


_NUMBERS = {  # x86_64, aarch64
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "setns": (308, 268),
    "unshare": (272, 97), "clone": (56, 220), "clone3": (435, 435), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "bpf": (321, 280), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "quotactl": (179, 60), "swapon": (167, 224), "swapoff": (168, 225),
    "reboot": (169, 142), "clock_settime": (227, 112), "settimeofday": (164, 170), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "personality": (135, 92), "syslog": (103, 116),
    "acct": (163, 89), "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "fsopen": (430, 430),
    "fsmount": (432, 432), "open_tree": (428, 428), "move_mount": (429, 429), "mount_setattr": (442, 442),
    "pidfd_getfd": (438, 438), "kcmp": (312, 272), "seccomp": (317, 277), "fanotify_init": (300, 262),
    "process_madvise": (440, 440), "mbind": (237, 235), "move_pages": (279, 239), "lookup_dcookie": (212, 18),
    "mq_open": (240, 180), "vhangup": (153, 58), "landlock_create_ruleset": (444, 444),
}  # fmt: skip


def others():
    """Process ids in sight that are neither this process nor its init."""
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (1, os.getpid())]


# ---- files -----------------------------------------------------------------------------------------------------------


@attempt
def read_password_hashes(params):
    return first(lambda: read("/etc/shadow"), lambda: read("/etc/gshadow"), lambda: read("/etc/sudoers"))


@attempt
def read_files_of_the_node(params):
    return first(
        lambda: read(params["store"] + "/node-id"),
        lambda: os.listdir(params["store"]),
        lambda: os.listdir(params["run"]),
        lambda: os.listdir("/run/serverledge"),
        lambda: read("/proc/1/root" + params["store"] + "/node-id"),
    )


@attempt
def read_homes_and_data_of_the_machine(params):
    return first(*[lambda path=path: os.listdir(path) or None for path in ("/root", "/home", "/var/lib", "/run", "/mnt", "/srv", "/boot")])


@attempt
def see_the_code_of_other_functions(params):
    return first(
        lambda: os.listdir("/.world"),
        lambda: os.listdir("/.world/code"),
        lambda: read("/.world/code/" + params["other_code"] + "/main.py"),
        lambda: os.listdir("/app/../.world/code"),
    )


@attempt
def write_outside_tmp(params):
    places = ("/", "/app", "/usr", "/usr/bin", "/usr/lib", "/etc", "/dev", "/proc", "/var", "/home", "/run", "/runtime", "/etc/ssl/certs")
    return first(*[lambda path=path: write(path + "/hostile") for path in places])


@attempt
def change_files_outside_tmp(params):
    files = ("/app/main.py", "/etc/passwd", "/runtime/python/worker.py", "/usr/bin/env")
    return first(
        *[lambda path=path: write(path, os.O_WRONLY) for path in files],
        *[lambda path=path: os.chmod(path, 0o777) or "chmod" for path in files],
        *[lambda path=path: os.unlink(path) or "unlink" for path in files],
        *[lambda path=path: os.rename(path, path + ".old") or "rename" for path in files],
    )


@attempt
def reach_out_by_symlinks_and_dots(params):
    for name, target in (("shadow", "/etc/shadow"), ("up", "../../../../../../etc/shadow"), ("host", "/proc/1/root"), ("cwd", "/proc/1/cwd")):
        os.symlink(target, "/tmp/" + name)
    return first(
        lambda: read("/tmp/shadow"),
        lambda: read("/tmp/up"),
        lambda: os.listdir("/tmp/host"),
        lambda: os.listdir("/tmp/cwd"),
        lambda: read("/app/../../../../../../../../etc/shadow"),
    )


@attempt
def fill_more_than_tmp_holds(params):
    size = 0
    try:
        with open("/tmp/large", "wb") as file:
            while size < params["tmp_bytes"] * 2:
                size += file.write(bytes(1 << 20))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EFBIG):
            return None
    return f"{size} bytes written"


@attempt
def make_more_files_than_tmp_holds(params):
    try:
        for number in range(200000):
            os.close(os.open(f"/tmp/{number}", os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return None
    return "200000 files"


@attempt
def become_root_by_a_setuid_program(params):
    for name in ("/usr/bin/su", "/usr/bin/mount", "/usr/bin/passwd", "/usr/bin/chsh", "/usr/bin/newgrp"):
        if os.path.exists(name) and not os.statvfs(name).f_flag & os.ST_NOSUID:
            return name + " is on a file system that honours setuid"
    os.close(os.open("/tmp/mine", os.O_CREAT | os.O_WRONLY, 0o755))
    os.chmod("/tmp/mine", 0o4755)
    if not os.statvfs("/tmp/mine").f_flag & os.ST_NOSUID:
        return "/tmp honours setuid"
    with open("/proc/self/status") as status:
        if "NoNewPrivs:\t1" not in status.read():
            return "no_new_privs is not set"
    return None


# ---- processes -------------------------------------------------------------------------------------------------------


@attempt
def see_other_processes(params):
    return others() or None


@attempt
def signal_other_processes(params):
    hit = []
    for pid in range(2, 40000):
        if pid == os.getpid():
            continue
        try:
            os.kill(pid, 0)
            hit.append(pid)
        except OSError:
            pass
    return hit or None


@attempt
def kill_its_init(params):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV):
        os.kill(1, number)  # accepted, and of no effect: this function answers
    return None if os.path.exists("/proc/1") else "init is gone"


@attempt
def look_into_its_init(params):
    return first(
        *[lambda name=name: read("/proc/1/" + name) for name in ("mem", "environ", "maps", "auxv", "stack", "syscall")],
        lambda: os.listdir("/proc/1/fd"),
        lambda: os.readlink("/proc/1/fd/3"),
        lambda: os.readlink("/proc/1/exe"),
        lambda: os.listdir("/proc/1/root"),
        lambda: os.readlink("/proc/1/ns/mnt"),
    )


@attempt
def trace_processes(params):
    return first(
        lambda: call("ptrace", 0, 0, 0, 0),  # TRACEME
        lambda: call("ptrace", 16, 1, 0, 0),  # ATTACH
        lambda: call("ptrace", 0x4206, 1, 0, 0),  # SEIZE
        lambda: call("process_vm_readv", 1, 0, 0, 0, 0, 0),
        lambda: call("process_vm_writev", 1, 0, 0, 0, 0, 0),
        lambda: call("kcmp", 1, os.getpid(), 0, 0, 0),
        lambda: call("pidfd_getfd", os.pidfd_open(1), 3, 0),
        lambda: call("process_madvise", os.pidfd_open(1), 0, 0, 4, 0),
    )


@attempt
def enter_other_namespaces(params):
    actions = []
    for name in ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup"):
        for pid in (1, os.getpid()):
            actions.append(lambda pid=pid, name=name: call("setns", os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY), 0))
    actions.append(lambda: call("setns", os.pidfd_open(1), 0x20000000))
    return first(*actions)


@attempt
def make_namespaces(params):
    flags = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00000080)
    arguments = ctypes.create_string_buffer(struct.pack("<QQQQQQQQ", 0x10000000, 0, 0, 0, 17, 0, 0, 0))
    return first(
        *[lambda flag=flag: call("unshare", flag) for flag in flags],
        *[lambda flag=flag: call("clone", flag | 17, 0, 0, 0, 0) for flag in flags[:-1]],
        lambda: call("clone3", arguments, 64),
    )


@attempt
def keep_a_child_alive_after_the_instance(params):
    """Only prepares it: the test sees whether anything is left."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pause()
        os._exit(0)
    return None


# ---- rights ----------------------------------------------------------------------------------------------------------


@attempt
def become_another_user(params):
    return first(
        lambda: os.setuid(0) or "setuid",
        lambda: os.setgid(0) or "setgid",
        lambda: os.setresuid(-1, 0, -1) or "setresuid",
        lambda: os.setuid(os.getuid() + 1) or "setuid of a neighbour",
        lambda: os.setgroups([0]) or "setgroups",
    )


@attempt
def have_capabilities(params):
    with open("/proc/self/status") as status:
        lines = [line.split() for line in status if line.startswith("Cap")]
    held = [name for name, value in lines if int(value, 16) != 0]
    ambient = _libc.prctl(47, 2, 21, 0, 0) == 0  # PR_CAP_AMBIENT_RAISE CAP_SYS_ADMIN
    bounding = _libc.prctl(23, 21, 0, 0, 0) == 1  # PR_CAPBSET_READ CAP_SYS_ADMIN
    return held or ("ambient" if ambient else None) or ("bounding" if bounding else None)


@attempt
def raise_its_limits(params):
    def more(which):
        soft, hard = resource.getrlimit(which)
        if hard == resource.RLIM_INFINITY:
            return None
        resource.setrlimit(which, (hard + 1, hard + 1))
        return which

    return first(
        *[lambda which=which: more(which) for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK)],
        lambda: os.nice(-5),
        lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) or "real-time",
        lambda: write("/proc/self/oom_score_adj", os.O_WRONLY),
    )


# ---- mounts and the kernel -------------------------------------------------------------------------------------------


@attempt
def mount_things(params):
    os.mkdir("/tmp/here")
    return first(
        lambda: call("mount", b"tmpfs", b"/tmp/here", b"tmpfs", 0, None),
        lambda: call("mount", b"proc", b"/tmp/here", b"proc", 0, None),
        lambda: call("mount", b"/", b"/tmp/here", None, 0x1000, None),  # bind
        lambda: call("mount", b"none", b"/", None, 0x20, None),  # remount writable
        lambda: call("fsopen", b"tmpfs", 0),
        lambda: call("fsmount", 0, 0, 0),
        lambda: call("open_tree", -100, b"/", 1),
        lambda: call("move_mount", -100, b"/tmp", -100, b"/tmp/here", 0),
        lambda: call("mount_setattr", -100, b"/", 0, 0, 0),
    )


@attempt
def change_its_root(params):
    os.makedirs("/tmp/root", exist_ok=True)
    return first(
        lambda: call("umount2", b"/proc", 2),
        lambda: call("umount2", b"/app", 2),
        lambda: call("umount2", b"/tmp", 2),
        lambda: call("pivot_root", b"/tmp", b"/tmp/root"),
        lambda: call("chroot", b"/tmp/root"),
    )


@attempt
def load_bpf(params):
    return first(
        lambda: call("bpf", 0, ctypes.create_string_buffer(128), 128),
        lambda: call("bpf", 5, ctypes.create_string_buffer(128), 128),
        lambda: call("seccomp", 1, 0, 0),
    )


@attempt
def use_keyrings(params):
    return first(
        lambda: call("keyctl", 0, -3, 1),  # the session's keyring
        lambda: call("keyctl", 0, -4, 1),
        lambda: call("keyctl", 1, b"mine"),
        lambda: call("add_key", b"user", b"name", b"value", 5, -3),
        lambda: call("request_key", b"user", b"name", None, 0),
        lambda: read("/proc/keys")[1] or None,
    )


@attempt
def use_io_uring(params):
    return call("io_uring_setup", 8, ctypes.create_string_buffer(120))


@attempt
def load_kernel_modules(params):
    return first(
        lambda: call("init_module", b"x", 1, b""),
        lambda: call("finit_module", 0, b"", 0),
        lambda: call("delete_module", b"loop", 0),
        lambda: call("kexec_load", 0, 0, None, 0),
        lambda: call("kexec_file_load", 0, 0, 0, b"", 0),
    )


@attempt
def use_dangerous_calls(params):
    buffer = ctypes.create_string_buffer(256)
    names = ["perf_event_open", "userfaultfd", "open_by_handle_at", "name_to_handle_at", "quotactl", "swapon", "swapoff", "personality", "syslog", "acct", "iopl", "ioperm", "modify_ldt", "fanotify_init", "mbind", "move_pages", "lookup_dcookie", "mq_open", "vhangup", "landlock_create_ruleset"]  # fmt: skip
    return first(*[lambda name=name: call(name, buffer, 0, 0, 0, 0) for name in names], lambda: call("reboot", 0xFEE1DEAD, 672274793, 0, None))


@attempt
def set_the_clock_or_the_name(params):
    now = ctypes.create_string_buffer(struct.pack("<qq", 1, 0))
    return first(
        lambda: call("clock_settime", 0, now),
        lambda: call("settimeofday", now, None),
        lambda: call("adjtimex", ctypes.create_string_buffer(256)),
        lambda: call("sethostname", b"mine", 4),
        lambda: call("setdomainname", b"mine", 4),
    )


@attempt
def change_the_kernels_settings(params):
    names = ("sys/kernel/core_pattern", "sys/kernel/modprobe", "sys/kernel/hostname", "sys/vm/overcommit_memory", "sys/net/ipv4/ip_forward", "sysrq-trigger", "self/oom_score_adj", "irq/default_smp_affinity")  # fmt: skip
    return first(*[lambda name=name: write("/proc/" + name, os.O_WRONLY) for name in names])


@attempt
def read_the_kernels_secrets(params):
    names = ("kcore", "kmsg", "keys", "key-users", "kallsyms", "timer_list", "slabinfo", "vmallocinfo", "1/stack", "sysrq-trigger")
    return first(*[lambda name=name: read("/proc/" + name)[1] or None for name in names], lambda: os.listdir("/proc/bus") or None, lambda: os.listdir("/proc/acpi") or None)


@attempt
def reach_sysfs_and_cgroups(params):
    return first(lambda: os.listdir("/sys"), lambda: os.listdir("/sys/fs/cgroup"), lambda: write("/sys/fs/cgroup/cgroup.procs", os.O_WRONLY))


@attempt
def use_devices(params):
    known = {"null", "zero", "full", "random", "urandom", "fd", "stdin", "stdout", "stderr", "shm"}
    more = set(os.listdir("/dev")) - known
    if more:
        return sorted(more)

    def node(kind, major, minor):
        os.mknod("/tmp/device", kind | 0o666, os.makedev(major, minor))
        return "mknod"

    return first(
        lambda: node(stat.S_IFBLK, 254, 0),
        lambda: node(stat.S_IFCHR, 1, 1),
        *[lambda name=name: write("/dev/" + name, os.O_RDWR) for name in ("mem", "kmem", "kmsg", "port", "sda", "vda", "fuse", "kvm", "tty", "ptmx", "net/tun", "loop-control")],
    )


@attempt
def put_words_into_a_terminal(params):
    for request in (0x5412, 0x541C, 0x5412 | 1 << 32):
        ctypes.set_errno(0)
        _libc.ioctl(0, ctypes.c_ulong(request), ctypes.create_string_buffer(b"x"))
        if ctypes.get_errno() != errno.EPERM:
            return f"ioctl {request:#x} was not refused: {ctypes.get_errno()}"
    return None


@attempt
def call_as_32_bits(params):
    """Must end the process: the filter knows only this architecture's calls."""
    if not _X86_64:
        os.abort()
    import mmap

    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()


@attempt
def call_as_x32(params):
    """Must end the process."""
    if not _X86_64:
        os.abort()
    return _libc.syscall(ctypes.c_long(0x40000000 | 39))


# ---- network ---------------------------------------------------------------------------------------------------------


@attempt
def open_special_sockets(params):
    kinds = [(socket.AF_INET, socket.SOCK_RAW, 1), (socket.AF_INET, socket.SOCK_RAW, 255), (socket.AF_INET6, socket.SOCK_RAW, 58), (socket.AF_INET, socket.SOCK_DGRAM, 1), (socket.AF_INET, socket.SOCK_STREAM, 132), (socket.AF_INET, socket.SOCK_STREAM, 262), (socket.AF_INET, 6, 0), (17, socket.SOCK_RAW, 3), (17, socket.SOCK_DGRAM, 0), (16, socket.SOCK_RAW, 0), (16, socket.SOCK_DGRAM, 12), (40, socket.SOCK_STREAM, 0), (38, 5, 0), (31, socket.SOCK_RAW, 1), (29, socket.SOCK_RAW, 1), (44, socket.SOCK_RAW, 0), (9, 5, 0), (4, socket.SOCK_DGRAM, 0)]  # fmt: skip

    def made(family, kind, protocol):
        fd = _libc.socket(family, kind, protocol)
        return None if fd < 0 else (family, kind, protocol)

    return first(*[lambda kind=kind: made(*kind) for kind in kinds])


@attempt
def reach_the_node(params):
    def connect(address):
        with socket.create_connection(address, 2):
            return address

    def abstract(name):
        with socket.socket(socket.AF_UNIX) as to:
            to.connect("\0" + name)
            return name

    return first(
        lambda: connect(("127.0.0.1", params["port"])),
        lambda: connect(("::1", params["port"])),
        *[lambda address=address: connect((address, params["port"])) for address in params["addresses"]],
        lambda: abstract(params["abstract"]),
        lambda: connect(("8.8.8.8", 53)),
    )


@attempt
def reach_another_function(params):
    def connect(address):
        with socket.create_connection(address, 2):
            return address

    def abstract():
        with socket.socket(socket.AF_UNIX) as to:
            to.connect("\0other")
            return "abstract"

    listed = []
    for name in ("tcp", "tcp6", "udp", "unix"):
        with open("/proc/net/" + name) as file:
            listed += [line for line in file.read().splitlines()[1:] if "other" in line or ":1F90 " in line]
    return listed or first(lambda: connect(("127.0.0.1", 8080)), abstract)


@attempt
def see_network_devices(params):
    with open("/proc/net/dev") as file:
        names = [line.split(":")[0].strip() for line in file.read().splitlines()[2:]]
    return [name for name in names if name not in ("lo", "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0")] or None


@attempt
def use_descriptors_that_it_inherited(params):
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + name)
        except OSError:
            continue
        if target != "/dev/null" and not target.startswith("socket:") and target != f"/proc/{os.getpid()}/fd":
            found.append((name, target))
        elif target.startswith("socket:"):
            peer = socket.socket(fileno=os.dup(int(name)))
            if peer.family != socket.AF_UNIX or peer.type != socket.SOCK_STREAM:
                found.append((name, peer.family, peer.type))
            peer.close()
    return found or None


@attempt
def connect_to_the_nodes_sockets(params):
    """The listener's own name leads nowhere inside."""
    actions = []
    for name in os.listdir("/proc/self/fd"):
        try:
            mine = socket.socket(fileno=os.dup(int(name)))
            address = mine.getsockname()
        except OSError:
            continue

        def connect(path=address):
            with socket.socket(socket.AF_UNIX) as to:
                to.connect(path)
                return path

        if address:
            actions.append(connect)
    return first(*actions)


@attempt
def share_memory_with_others(params):
    tables = []
    for name in ("shm", "sem", "msg"):
        with open("/proc/sysvipc/" + name) as file:
            tables += file.read().splitlines()[1:]
    return tables or first(lambda: [name for name in os.listdir("/dev/shm") if name.startswith("other")] or None)


# ---- what is around --------------------------------------------------------------------------------------------------


@attempt
def read_the_nodes_environment(params):
    texts = [repr(dict(os.environ))]
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                texts.append(repr(read(f"/proc/{pid}/environ")))
            except OSError:
                pass
    return [text for text in texts if params["secret"] in text] or None


@attempt
def find_what_another_function_left(params):
    found = []
    for folder, _, files in os.walk("/tmp"):
        found += [os.path.join(folder, name) for name in files]
    return found or None


@attempt
def learn_the_machines_name_and_groups(params):
    with open("/proc/self/cgroup") as file:
        groups = [line.strip() for line in file if params["node"] in line]
    return groups or (os.uname().nodename if os.uname().nodename != "sandbox" else None)


@attempt
def run_programs_with_more_rights(params):
    """A program that it starts has no more than itself."""
    status = subprocess.run(["/bin/cat", "/proc/self/status"], capture_output=True, text=True, check=False).stdout
    wanted = ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2")
    return [line for line in wanted if line not in status] or None


@attempt
def dump_core(params):
    pid = os.fork()
    if pid == 0:
        os.chdir("/tmp")
        os.abort()
    _, status = os.waitpid(pid, 0)
    return "core dumped" if os.WCOREDUMP(status) else None
