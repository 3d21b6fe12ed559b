# SPDX-License-Identifier: MIT
"""doze, its watchdog (of doze run a child, else its supervisor) and the application are killed,
stopped and started anew."""
import signal
import time

from ledger import APP_DOWN, APP_STOPPED, STALL


def pause(step):
    time.sleep(step.ms / 1000)


def doze_kill(target, step):
    with target.lock, target.ledger.window(STALL, step.kind):
        target.signal_doze(signal.SIGKILL)
        target.wait_daemon_end()
        pause(step)
        target.ensure()


def doze_stop(target, step):
    with target.lock, target.ledger.window(STALL, step.kind):
        target.signal_doze(signal.SIGSTOP)
        pause(step)
        target.signal_doze(signal.SIGCONT)


def doze_restart(target, step):
    with target.lock, target.ledger.window(target.what_ends_with_doze(), step.kind):
        target.doze.signal(signal.SIGTERM)
        target.doze.wait()
        pause(step)
        target.ensure()


def doze_and_watchdog_kill(target, step):
    """Nobody undoes anything until the next doze does."""
    with target.lock, target.ledger.window(STALL, step.kind):
        target.kill_all_of_doze()
        pause(step)
        target.ensure()


def watchdog_kill(target, step):
    with target.lock, target.ledger.window(STALL, step.kind):
        target.kill_watchdog()
        target.ensure()


def watchdog_stop(target, step):
    with target.lock:
        target.signal_watchdog(signal.SIGSTOP)
        pause(step)
        target.signal_watchdog(signal.SIGCONT)


def app_kill(target, step):
    """By a signal that it cannot see, or as who ends it in order does."""
    app = target.choose_app(step.chance)
    with target.lock, target.ledger.window(APP_DOWN, step.kind, app.where):
        app.signal(signal.SIGKILL if step.chance * 7 % 1 < 0.5 else signal.SIGTERM)
        app.wait_end()
        pause(step)
        app.restart()


def app_stop(target, step):
    app = target.choose_app(step.chance)
    with target.lock, target.ledger.window(APP_STOPPED, step.kind, app.where):
        app.signal(signal.SIGSTOP)
        pause(step)
        app.signal(signal.SIGCONT)


KINDS = {kind.__name__: kind for kind in (doze_kill, doze_stop, doze_restart, doze_and_watchdog_kill,
                                          watchdog_kill, watchdog_stop, app_kill, app_stop)}
