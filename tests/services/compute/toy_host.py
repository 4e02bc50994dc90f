"""A process with the thread runner, which also knows the toys; it takes jobs until it is killed."""

import resource
import signal
import sys

from services.assemble import assemble
from services.settings import Settings
from tests.services.compute import toys

__all__ = ["toys"]

if __name__ == "__main__":
    if len(sys.argv) > 1:
        most_bytes = int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    services = assemble(Settings(_env_file=None), place="host")
    signal.signal(signal.SIGTERM, lambda *_: (services.close(), sys.exit(0)))
    services.jobs.runner.start()
    while True:
        signal.pause()
