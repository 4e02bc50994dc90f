"""How `gunicorn wsgi:app` runs: gevent workers, and one engine host behind all of them.

gunicorn executes this file anew at SIGHUP, so state lives on the arbiter. The host's socket is opened
here and handed over: its port is known before it is up, and calls wait instead of failing while it
starts again. Everything that makes a process does so in the arbiter's own thread: another thread would
fork while workers are forked, and hang.
"""

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# Looking for garbage in what is only just loaded is a tenth of a start; it begins when all is loaded.
gc.disable()

from backend.garbage import spare_what_is_loaded  # noqa: E402
from services.settings import Settings  # noqa: E402

settings = Settings()

worker_class = "backend.gunicorn_worker.Worker"
worker_connections = 2000
workers = settings.web_concurrency
bind = f"{settings.host}:{settings.port}"
timeout = 60
graceful_timeout = 10
# gevent waits for idle keep-alive connections at a stop, so a long time here makes every stop long.
keepalive = 5
control_socket_disable = True
logger_class = "backend.gunicorn_log.Log"

NOT_FOR_THE_HOST = {"GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "GUNICORN_FD", "GUNICORN_PID", "PORT", "HOST"}
# What a model's layers pass on is taken and given back at every picture. glibc would return it to the system each
# time and have it zeroed page by page again, a quarter of a picture's time. Source: mallopt(3). Pillow's blocks of
# 16 MiB are not kept: after sixty pictures of 49 million pixels, each thread's heap held some, 7 GB together.
MEMORY_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(12 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20)}
LONGEST_DELAY_SECONDS = 30
WELL_AFTER_SECONDS = 60
FIRST_ALONE_SECONDS = 1.9


def on_starting(server):
    """Open the host's socket and empty the folder that workers share their metrics in."""
    metrics_dir = settings.instance_dir / "metrics" / str(os.getpid())
    metrics_dir.mkdir(parents=True, exist_ok=True)
    server.metrics_dir = metrics_dir
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_dir)
    if settings.engine_url:
        return
    server.host_socket = socket.socket()
    server.host_socket.bind(("127.0.0.1", 0))
    server.host_socket.listen(1024)
    os.environ["ENGINE_URL"] = f"http://127.0.0.1:{server.host_socket.getsockname()[1]}"


def when_ready(server):
    """Keep the host alive from the arbiter's loop, which calls manage_workers at every turn.

    The first worker and the host come first and the other workers two turns later: each needs a core for more
    than a second, and one that answers soon is worth more than all of them late.
    """
    spare_what_is_loaded()
    if not hasattr(server, "host_socket"):
        return
    wanted, server.num_workers = server.num_workers, 1
    server.host, server.host_started, server.host_delay_seconds = None, 0.0, 0.5
    manage_workers, ready_at = server.manage_workers, time.monotonic()

    def manage_both():
        nonlocal wanted
        keep_host(server)
        if wanted and time.monotonic() > ready_at + FIRST_ALONE_SECONDS:
            wanted, server.num_workers = 0, wanted
        manage_workers()

    server.manage_workers = manage_both


def keep_host(server):
    """Start the host when there is none, with growing pauses when it ends again and again."""
    if server.host and server.host.poll() is None:
        return
    now = time.monotonic()
    if server.host and now < server.host_started + server.host_delay_seconds:
        return
    if server.host:
        well = now - server.host_started > WELL_AFTER_SECONDS
        server.host_delay_seconds = 0.5 if well else min(server.host_delay_seconds * 2, LONGEST_DELAY_SECONDS)
        server.log.error("the engine host ended; it is started again")
    server.host_started = now
    server.host = start_host(server.host_socket.fileno())


def start_host(descriptor):
    """The engine host's process, on the open socket *descriptor*."""
    environment = {name: value for name, value in os.environ.items() if name not in NOT_FOR_THE_HOST}
    return subprocess.Popen(
        # -c names the host's own settings, else gunicorn would read this file and start a host of its own.
        [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "backend/host_conf.py",
            "-b",
            f"fd://{descriptor}",
            "backend.host:create_host()",
        ],
        env=MEMORY_KEPT | environment | {"HOST_PARENT": str(os.getpid())},
        cwd=Path(__file__).parent,
        pass_fds=[descriptor],
        # Else ctrl-C would end the host before the web has answered its last requests.
        start_new_session=True,
    )


def post_fork(server, worker):
    """Let a worker load its code without looking for garbage in it, a tenth of a start."""
    gc.disable()


def post_worker_init(worker):
    """Let requests know when their worker stops, and say once where the service listens."""
    from blueprints.kit.presence import presence

    spare_what_is_loaded()

    presence.worker = worker
    if worker.age == 1:
        from backend.setup import welcome

        welcome(settings, worker.sockets[0].getsockname(), worker.cfg.workers)


def worker_exit(_server, worker):
    """Write down what waits in this worker."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["services"].close()
    # What is frozen outlives the modules it needs to end itself, and Python says so at every stop.
    gc.unfreeze()


def child_exit(_server, worker):
    """Forget what a worker counted, however it ended."""
    from prometheus_client import multiprocess

    from backend.gunicorn_worker import TALLY

    TALLY.close(worker.age)
    multiprocess.mark_process_dead(worker.pid)


def on_reload(server):
    spare_what_is_loaded()
    if getattr(server, "host", None):
        server.host.send_signal(signal.SIGHUP)


def on_exit(server):
    """The web has drained with the host alive; now the host goes."""
    host = getattr(server, "host", None)
    if host:
        host.terminate()
        try:
            host.wait(15)
        except subprocess.TimeoutExpired:
            host.kill()
    shutil.rmtree(getattr(server, "metrics_dir", ""), ignore_errors=True)
