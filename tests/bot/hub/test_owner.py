"""Whose claims are free to be taken: those of processes that are certainly gone, and no others."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from bot.hub.owner import is_dead, name_myself
from tests.machine import PATIENCE_SECONDS

HOST = socket.gethostname()


def test_every_run_has_a_name_of_its_own():
    names = {name_myself() for _ in range(100)}
    assert len(names) == 100
    assert {name.rsplit(":", 1)[0] for name in names} == {f"{HOST}:{os.getpid()}"}


def test_i_am_not_dead():
    me = name_myself()
    assert not is_dead(me, me)


def test_an_earlier_run_under_my_process_id_is_dead():
    """In a container every run has the same id."""
    assert is_dead(f"{HOST}:{os.getpid()}:0badcafe", name_myself())


def test_a_running_process_is_not_dead_and_an_ended_one_is():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process:
        assert not is_dead(f"{HOST}:{process.pid}:0badcafe", name_myself())
    assert is_dead(f"{HOST}:{process.pid}:0badcafe", name_myself())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_process_that_died_is_dead_before_its_parent_has_looked():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process:
        process.kill()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (ended := is_dead(f"{HOST}:{process.pid}:0badcafe", name_myself())) and time.monotonic() < deadline:
            pass
        assert ended


@pytest.mark.skipif(os.geteuid() == 0, reason="root may signal every process")
def test_another_users_process_is_not_dead():
    assert not is_dead(f"{HOST}:1:0badcafe", name_myself())


def test_of_another_host_nothing_is_certain():
    assert not is_dead("elsewhere:999999:0badcafe", name_myself())


def test_a_host_may_have_colons_in_its_name():
    assert not is_dead("fe80::1:999999:0badcafe", "fe80::2:1:0badcafe")
    assert is_dead("fe80::1:4194999:0badcafe", "fe80::1:1:0badcafe")
