"""A server for resumable uploads: tus 1.0.0 with every extension, on aiohttp."""

from importlib.metadata import version

from .config import Settings, SettingsError, load_settings
from .hooks.python import HookCallable, PythonHooks
from .interfaces import (
    Access,
    Authorize,
    Durability,
    Grant,
    HookEvent,
    HookReply,
    Hooks,
    HookType,
    Operation,
    RequestInfo,
    ResponseChange,
    UploadLimits,
)
from .protocol.errors import Forbidden, Unauthorized, UploadNotFound, UploadRejected
from .protocol.model import Upload, UploadId
from .protocol.quota import Quota
from .telemetry.logs import log_formatter
from .web.app import UPLOADS
from .wiring import Stores, create_app
from .wiring.insight import create_admin_app

__version__ = version("tusd-py")

__all__ = [
    "UPLOADS",
    "Access",
    "Authorize",
    "Durability",
    "Forbidden",
    "Grant",
    "HookCallable",
    "HookEvent",
    "HookReply",
    "HookType",
    "Hooks",
    "Operation",
    "PythonHooks",
    "Quota",
    "RequestInfo",
    "ResponseChange",
    "Settings",
    "SettingsError",
    "Stores",
    "Unauthorized",
    "Upload",
    "UploadId",
    "UploadLimits",
    "UploadNotFound",
    "UploadRejected",
    "__version__",
    "create_admin_app",
    "create_app",
    "load_settings",
    "log_formatter",
]
