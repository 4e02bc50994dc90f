"""How times stand in answers."""

from datetime import datetime
from typing import Annotated

from pydantic import PlainSerializer

# Tables keep UTC without a zone; answers show it without fractions.
UtcTime = Annotated[datetime, PlainSerializer(lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"), return_type=str)]
