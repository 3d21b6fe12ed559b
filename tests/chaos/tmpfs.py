# SPDX-License-Identifier: MIT
"""Small file systems that can be full. Nobody else sees them: see chaos_target.hide_mounts()."""
import os
import subprocess

LENGTH = "128k"


def mount(directory):
    os.makedirs(directory, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={LENGTH},mode=755", "chaos", directory],
                   check=True)


def unmount(directory):
    subprocess.run(["umount", "--lazy", directory], check=True)
