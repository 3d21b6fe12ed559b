# SPDX-License-Identifier: MIT
"""What a process has given up, and what deploy/security.md says that it has."""
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(HERE, "..", "..", "deploy", "security.md")
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO "
    "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG "
    "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE").split()


def fields(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def names(mask):
    return {name for number, name in enumerate(CAPABILITIES) if int(mask, 16) >> number & 1}


def capabilities(pid, kind="CapPrm"):
    return names(fields(pid)[kind])


def documented(process):
    """The capabilities of the row that begins with `process`."""
    with open(PAGE, encoding="utf-8") as file:
        row = re.search(rf"^\| `{re.escape(process)}` \|([^|]*)\|", file.read(), re.MULTILINE)
    return set(re.findall(r"CAP_(\w+)", row.group(1)))


def differences(pid, process, parent=None):
    """What is not as the page says; [] if all is. parent: who has made it when it was confined
    already, and could not narrow the bounding set any more."""
    told = fields(pid)
    found = {name: told[name] for name in ("Seccomp", "NoNewPrivs")}
    wrong = [f"{name}: {value}" for name, value in found.items()
             if value != {"Seccomp": "2", "NoNewPrivs": "1"}[name]]
    for kind, whose in (("CapPrm", process), ("CapEff", process), ("CapBnd", parent or process)):
        if names(told[kind]) != documented(whose):
            wrong.append(f"{kind} of {process}: {sorted(names(told[kind]))}")
    if int(told["CapInh"], 16) or int(told["CapAmb"], 16):
        wrong.append(f"CapInh {told['CapInh']} CapAmb {told['CapAmb']}")
    return wrong
