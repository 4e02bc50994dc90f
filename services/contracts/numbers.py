"""Whole numbers that a request names and a database is asked for."""

from typing import Annotated

from pydantic import Field

# What the smallest integer column of the databases holds; a larger one would be an error of theirs.
LARGEST = 2**31 - 1

FromZero = Annotated[int, Field(ge=0, le=LARGEST)]
FromOne = Annotated[int, Field(ge=1, le=LARGEST)]
