"""Ring 1: the settings."""

from .sources import ENV_PREFIX, SettingsError, load_settings
from .table import Settings

__all__ = ["ENV_PREFIX", "Settings", "SettingsError", "load_settings"]
