"""What a unit's sandbox forbids, laid upon a child that is no service: for checks without a running systemd."""

import ctypes
import ctypes.util
import re
import subprocess

ALLOW = 0x7FFF0000
EPERM = 0x00050001
EQUAL = 4
PR_SET_MDWE = 65
PR_MDWE_REFUSE_EXEC_GAIN = 1
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}


def settings(unit):
    """The settings of the unit file `unit`, each with the list of its values."""
    found = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            found.setdefault(name, []).append(value)
    return found


def system_calls(filters):
    """The names that SystemCallFilter= allows, where its first line is a list of what is allowed."""
    allowed = set()
    for line in filters:
        names = line.removeprefix("~").split()
        named = {call for name in names for call in expanded(name)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed | expanded("@default")


def expanded(name):
    """The calls in the set `name`, or `name` itself."""
    if not name.startswith("@"):
        return {name}
    said = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True)
    members = re.findall(r"^    ([@\w-]+)$", said.stdout, re.MULTILINE)
    return {call for member in members for call in expanded(member)}


class Argument(ctypes.Structure):
    """libseccomp's scmp_arg_cmp."""

    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    ]


def of(unit):
    """What to do in a child before it becomes the program, so that it is as confined as `unit` says."""
    said = settings(unit)
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(EPERM)))
    for name in system_calls(said["SystemCallFilter"]) - {"socket"}:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            succeeded(library.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, 0, None), name)
    number = library.seccomp_syscall_resolve_name(b"socket")
    for family in said["RestrictAddressFamilies"][0].split():
        rule = Argument(0, EQUAL, FAMILIES[family], 0)
        added = library.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, 1, ctypes.byref(rule))
        succeeded(added, family)
    libc = ctypes.CDLL(None, use_errno=True)

    def confine():
        if said["MemoryDenyWriteExecute"] == ["yes"]:
            # Kernels before 6.3 cannot do it this way.
            libc.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
        succeeded(library.seccomp_load(context), "seccomp_load")

    return confine


def succeeded(status, what):
    """Nothing, if `status` says so."""
    if status != 0:
        raise OSError(-status, what)
