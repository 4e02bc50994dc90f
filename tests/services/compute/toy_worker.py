"""The real Celery worker, which also knows the toys."""

from backend.worker import app
from tests.services.compute import toys

__all__ = ["app", "toys"]
