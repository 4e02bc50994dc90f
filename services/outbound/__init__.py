"""The one HTTP client for calls that leave this machine: guarded addresses, time limits, size caps, retries."""

from services.outbound.client import Outbound
from services.outbound.retries import Attempts

__all__ = ["Attempts", "Outbound"]
