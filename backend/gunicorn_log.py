"""gunicorn's own lines in the service's log format."""

import logging

from gunicorn.glogging import Logger

from backend.logs import set_up_logs
from services.settings import Settings


class Log(Logger):
    """gunicorn's logger without its own handlers: lines go to the root logger, as all others do."""

    def setup(self, cfg: object) -> None:
        super().setup(cfg)
        set_up_logs(Settings())
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True
        self.access_log.disabled = True
        self.error_log.setLevel(logging.INFO)
