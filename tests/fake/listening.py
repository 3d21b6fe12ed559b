# SPDX-License-Identifier: MIT
"""Sockets: several addresses on one port, in a network namespace if wanted."""
import ctypes
import fcntl
import os
import socket
import ssl
import struct
import termios
import threading
import time

CLONE_NEWNET = 0x40000000
SO_ATTACH_FILTER = 26  # asm-generic/socket.h
BPF_RET = 0x06  # linux/filter.h: "return 0" keeps no byte of a packet
ATTEMPTS = 20


def in_namespace(netns, function):
    """Calls function in the namespace (a name below /run/netns, or a path); None: in our own.

    Sockets stay in the namespace they were made in. A thread is moved, and ends."""
    if netns is None:
        return function()
    result = []

    def moved():
        try:
            _enter(netns)
            result.append((function(), None))
        except OSError as error:
            result.append((None, error))
    thread = threading.Thread(target=moved)
    thread.start()
    thread.join()
    value, error = result[0]
    if error:
        raise error
    return value


def _enter(netns):
    path = netns if "/" in netns else "/run/netns/" + netns
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(descriptor)


def listen(addresses, port, netns=None, optional=()):
    """Listening sockets on one port; an address in optional may be missing. (sockets, port)"""
    def attempt():
        wanted = port
        sockets = []
        try:
            for address in addresses:
                try:
                    sockets.append(_listen_on(address, wanted))
                except OSError:
                    if address not in optional or (wanted and _is_taken(address, wanted)):
                        raise
                    continue
                wanted = sockets[0].getsockname()[1]
        except OSError:
            for one in sockets:
                one.close()
            raise
        return sockets, wanted

    for left in reversed(range(ATTEMPTS)):
        try:
            return in_namespace(netns, attempt)
        except OSError:  # the port that one address chose may be taken on another
            if port or not left:
                raise
    raise AssertionError


def _listen_on(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _is_taken(address, port):
    """True if the address is there, and only the port is not free."""
    try:
        _listen_on(address, 0).close()
    except OSError:
        return False
    return port != 0


def close_listener(listener):
    """Also wakes the thread in accept()."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    listener.close()


def reset(connection):
    """Closes with a RST, whatever else holds the socket object."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())
    except OSError:
        pass


def shut(connection):
    """Ends a connection that another thread reads: that thread wakes, and closes it with a RST."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        pass


def _is_acknowledged(connection):
    count = fcntl.ioctl(connection, termios.TIOCOUTQ, struct.pack("i", 0))
    return struct.unpack("i", count)[0] == 0


def isolate(connection):
    """The peer is never answered again, and not told: what it sends is dropped before TCP sees it,
    so without an ACK or a RST. To us the connection has ended. Returns the socket, to be kept."""
    kept = socket.socket(fileno=os.dup(connection.fileno()))
    while not _is_acknowledged(kept):  # what is not would be sent again, and tell that we live
        time.sleep(0.001)
    code = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RET, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(code))
    kept.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    ended, other = socket.socketpair()
    other.close()
    os.dup2(ended.fileno(), connection.fileno())
    ended.close()
    return kept


def close(connection):
    """A clean end: with TLS' close_notify, for which the peer's is not waited."""
    try:
        if isinstance(connection, ssl.SSLSocket) and connection.fileno() >= 0:
            connection.settimeout(0)
            connection.unwrap()
    except (OSError, ValueError):
        pass
    connection.close()
