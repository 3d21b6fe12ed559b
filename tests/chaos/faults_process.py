# SPDX-License-Identifier: MIT
"""doze, its watchdog and the application are killed, stopped and started anew."""
import signal
import time

from ledger import STALL


def pause(step):
    time.sleep(step.ms / 1000)


def doze_kill(target, step):
    with target.lock, target.ledger.window(STALL, step.kind):
        target.signal_doze(signal.SIGKILL)
        target.wait_doze()
        pause(step)
        target.ensure()


def doze_stop(target, step):
    with target.lock, target.ledger.window(STALL, step.kind):
        target.signal_doze(signal.SIGSTOP)
        pause(step)
        target.signal_doze(signal.SIGCONT)


def doze_restart(target, step):
    with target.lock, target.ledger.window(target.what_ends_with_doze(), step.kind):
        target.signal_doze(signal.SIGTERM)
        target.wait_doze()
        pause(step)
        target.ensure()


KINDS = {kind.__name__: kind for kind in (doze_kill, doze_stop, doze_restart)}
