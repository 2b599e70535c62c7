"""Disconnects, also if the system uses the number of a connection again."""

from __future__ import annotations

import socket
import threading

from credentials.proxy.disconnect_watcher import DisconnectWatcher


def test_disconnect_is_noticed():
    ours, theirs = socket.socketpair()
    gone = threading.Event()
    with ours, theirs, DisconnectWatcher().watch(ours.fileno(), gone.set):
        theirs.close()
        assert gone.wait(30)


def test_event_of_an_earlier_connection_is_ignored():
    ours, theirs = socket.socketpair()
    watch, gone = DisconnectWatcher(), []
    with ours, theirs, watch.watch(ours.fileno(), lambda: gone.append(1)):
        watch._handle_event(ours.fileno())
        assert gone == []


def test_late_end_keeps_the_watch_of_a_later_connection():
    ours, theirs = socket.socketpair()
    watch, gone = DisconnectWatcher(), threading.Event()
    earlier = watch.watch(ours.fileno(), lambda: None)
    earlier.__enter__()
    assert watch._epoll
    watch._epoll.unregister(ours.fileno())  # As the system does when a connection is closed.
    with ours, theirs, watch.watch(ours.fileno(), gone.set):
        earlier.__exit__(None, None, None)
        theirs.close()
        assert gone.wait(30)
