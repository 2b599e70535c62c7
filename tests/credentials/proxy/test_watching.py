"""Whose connection has ended, when the system uses a connection's number again."""

from __future__ import annotations

import socket
import threading

from credentials.proxy.disconnect_watcher import DisconnectWatcher


def test_who_goes_is_noticed():
    ours, theirs = socket.socketpair()
    gone = threading.Event()
    with ours, theirs, DisconnectWatcher().watch(ours.fileno(), gone.set):
        theirs.close()
        assert gone.wait(5)


def test_an_earlier_connections_end_is_not_a_later_ones():
    ours, theirs = socket.socketpair()
    watch, gone = DisconnectWatcher(), []
    with ours, theirs, watch.watch(ours.fileno(), lambda: gone.append(1)):
        watch._handle_event(ours.fileno())
        assert gone == []


def test_what_ends_late_takes_no_later_connections_watch():
    ours, theirs = socket.socketpair()
    watch, gone = DisconnectWatcher(), threading.Event()
    earlier = watch.watch(ours.fileno(), lambda: None)
    earlier.__enter__()
    assert watch._epoll
    watch._epoll.unregister(ours.fileno())  # As the system does when a connection is closed.
    with ours, theirs, watch.watch(ours.fileno(), gone.set):
        earlier.__exit__(None, None, None)
        theirs.close()
        assert gone.wait(5)
