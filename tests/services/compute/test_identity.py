"""What jobs are called, and whether the process that ran one is gone."""

import os
import subprocess
import sys
import time
from uuid import RFC_4122, UUID

from services.compute.identity import is_dead, new_job_id, runner_name, this_host
from tests.live import wait_for


def test_jobs_ids_are_of_version_7_and_begin_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = [UUID(new_job_id()) for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == 1000
    assert {(one.version, one.variant) for one in made} == {(7, RFC_4122)}
    assert all(before <= one.int >> 80 <= after for one in made)


def test_a_runner_of_this_process_lives() -> None:
    assert not is_dead(runner_name())


def test_two_runners_of_one_process_have_two_names() -> None:
    assert runner_name() != runner_name()
    assert len(runner_name()) <= 160


def test_a_runner_whose_process_ended_is_dead_even_before_it_is_reaped() -> None:
    program = "from services.compute.identity import runner_name; print(runner_name(), flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    assert not is_dead(name)
    process.kill()
    wait_for(lambda: is_dead(name), what="the process to end")
    process.communicate()
    assert is_dead(name)


def test_a_pid_that_is_used_again_is_another_process() -> None:
    assert is_dead(f"{this_host()}:{os.getpid()}:12345:abcd")


def test_nothing_is_known_of_another_host() -> None:
    assert not is_dead("elsewhere-1:1:1:abcd")


def test_a_name_of_another_form_is_nobody_s() -> None:
    assert not is_dead("") and not is_dead("r") and not is_dead(f"{this_host()}:x:1:a")
