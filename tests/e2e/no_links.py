#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a command for which the kernel knows no BPF links, as before 5.7: nothing can be attached by
one, such as sk_lookup. With a seccomp filter, since no flag of doze's is there for it.

usage: no_links.py COMMAND...
"""
import ctypes
import os
import platform
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
BPF_LINK_CREATE = 28
NR_BPF = {"x86_64": 321, "aarch64": 280}
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
ALLOW, ERRNO_EINVAL = 0x7FFF0000, 0x00050000 + 22
NR_AT, FIRST_ARGUMENT_AT = 0, 16  # struct seccomp_data


def instructions():
    yield LOAD, 0, 0, NR_AT
    yield JUMP_EQUAL, 0, 3, NR_BPF[platform.machine()]
    yield LOAD, 0, 0, FIRST_ARGUMENT_AT
    yield JUMP_EQUAL, 0, 1, BPF_LINK_CREATE
    yield RETURN, 0, 0, ERRNO_EINVAL
    yield RETURN, 0, 0, ALLOW


def main():
    code = b"".join(struct.pack("HBBI", *one) for one in instructions())
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
        sys.exit(f"no seccomp: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
