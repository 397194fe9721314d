"""Ring 4: the only room that knows every adapter, and puts them together."""

from .app import create_app, opened_administration
from .stores import Stores, check_stores, make_outbox, rebuild_records

__all__ = [
    "Stores",
    "check_stores",
    "create_app",
    "make_outbox",
    "opened_administration",
    "rebuild_records",
]
