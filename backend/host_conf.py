"""How the engine host runs: one worker with threads, and an end when its web server is gone."""

import gc
import os
import signal
import threading
import time

from backend.capacity import THREADS

# As in gunicorn.conf.py: no garbage is looked for in what is only just loaded.
gc.disable()

worker_class = "gthread"
workers = 1
threads = THREADS
# A C call that keeps the GIL, such as loading a large model, holds up the heartbeat.
timeout = 300
graceful_timeout = 10
control_socket_disable = True
proc_name = "polymath-engine-host"
logger_class = "backend.gunicorn_log.Log"

LOOK_SECONDS = 0.5


def when_ready(server):
    """End the host when the web server that started it is gone, even by kill -9."""
    from backend.garbage import spare_what_is_loaded

    spare_what_is_loaded()
    parent = os.environ.get("HOST_PARENT")
    if not parent:
        return

    def watch():
        while os.getppid() == int(parent):
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def post_fork(_server, _worker):
    """Let the worker load its code as its master did."""
    gc.disable()


def post_worker_init(worker):
    """Start taking jobs, and end when this worker's master is gone: an orphan would hold the models twice."""
    from backend.garbage import spare_what_is_loaded
    from services import housekeeping

    spare_what_is_loaded()
    services = worker.wsgi.services
    services.jobs.runner.start()
    housekeeping.start(services)

    def watch():
        while os.getppid() == worker.ppid:
            if not worker.alive:
                # Whoever waits would hold up this worker's end.
                worker.wsgi.close()
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="master", daemon=True).start()


def worker_exit(_server, worker):
    """Hand unfinished jobs back and write down what waits."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.services.jobs.runner.stop()
        app.services.close()
