"""The work itself: the same in a request, in the engine host, in a worker and in a test. Knows no Flask."""

from pydantic import BaseModel

VERSION = "0.1.0"

# There are hundreds of requests and results, and a start needs a few of them: each is built when it is first
# used. This stands before any of them is declared, so it holds for flask_openapi3's classes too.
BaseModel.model_config["defer_build"] = True
