"""What a view needs to do its deed: the services, and who asks."""

from flask import current_app, g

from services.assemble import Services
from services.contracts.accounts import Identity


def services() -> Services:
    """The assembled services of this app."""
    assembled: Services = current_app.extensions["services"]
    return assembled


def me() -> Identity:
    """Who makes this request."""
    identity: Identity = g.identity
    return identity
