"""The settings: one table for flags, environment, TOML file and the reference page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from ..interfaces import Durability, HookType
from .kinds import (
    Address,
    Algorithms,
    BasePath,
    Count,
    DigestKeys,
    Extensions,
    Globs,
    HookNames,
    Mode,
    Names,
    Networks,
    PathTemplate,
    Pattern,
    Seconds,
    Url,
)

_HMAC = ("HS256", "HS384", "HS512")
_SIGNATURES = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
_NONE = ByteSize(0)
_ANY_ORIGIN = "https://anybody.invalid"


class Settings(BaseModel):
    """All settings of a server; immutable, and checked when made.

    Raises:
        pydantic.ValidationError: `load_settings` turns it into a `SettingsError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    host: str = Field(
        "0.0.0.0",  # noqa: S104 - tusd's default; the README says how to bind less  # nosec B104
        title="Listening",
        description="address to listen on",
    )
    port: int = Field(8080, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    unix_sock: str | None = Field(
        None, description="path of a UNIX socket to listen on instead of host and port"
    )
    base_path: BasePath = Field(
        "/files/",
        description="URL path of uploads; an absolute URL is used as it is in Location",
    )
    behind_proxy: bool = Field(
        False,
        description="trust X-Forwarded-Host, -Proto, -Prefix and Forwarded for Location",
    )
    trusted_proxies: Networks = Field(
        (),
        description="with behind-proxy: addresses and networks of the proxies, comma list; "
        "none: every peer is believed, as tusd does",
    )
    tls_certificate: Path | None = Field(None, description="PEM file with the certificate chain")
    tls_key: Path | None = Field(None, description="PEM file with the private key")
    tls_mode: Literal["tls13", "tls12", "tls12-strong"] = Field(
        "tls12",
        description="tls13: only TLS 1.3; tls12: 1.2 with safe suites, and 1.3; "
        "tls12-strong: only 1.2 with AES-256-GCM",
    )
    workers: int | Literal["auto"] = Field(
        1, description="number of processes on the port; auto: one for each core"
    )

    upload_dir: Path = Field(
        Path("./data"), title="Storage", description="directory of the uploads; made if missing"
    )
    dir_perms: Mode = Field(0o775, description="octal mode of directories, before the umask")
    file_perms: Mode = Field(0o664, description="octal mode of files, before the umask")
    durability: Durability = Field(
        Durability.COMPLETE,
        description="what survives a power cut; none: nothing; complete: completed uploads; "
        "ack: every offset that was acknowledged",
    )
    expire_after: Seconds = Field(
        0.0, description="remove uploads this long after their last byte if unfinished; 0: never"
    )

    redis_url: str | None = Field(
        None,
        title="Several nodes",
        description="keep records and claims in Redis: redis://, rediss://, unix://, "
        "redis+sentinel://host,host/service, redis+cluster://host,host",
    )
    redis_prefix: str = Field(
        "tusd-py:", pattern=r"^[!-z|~]*$", description="what all keys and channels begin with"
    )
    redis_lease: Seconds = Field(
        30.0, ge=1, description="how long an upload stays locked after its node has died"
    )
    redis_timeout: Seconds = Field(
        2.0, gt=0, description="how long Redis may take for one answer; each is tried twice"
    )

    auth_tokens_file: Path | None = Field(
        None,
        title="Access",
        description="TOML file of bearer tokens and their owners; read again when it changes",
    )
    auth_jwt_secret_file: Path | None = Field(
        None, description="accept JWT signed (HS256 and the like) with the secret in this file"
    )
    auth_jwt_key_file: Path | None = Field(
        None, description="accept JWT signed by the owner of this public key, a PEM file"
    )
    auth_jwt_jwks: str | None = Field(
        None,
        description="accept JWT signed by one of the keys in this JSON Web Key Set: "
        "a path, or an https URL",
    )
    auth_jwt_algorithms: Names = Field(
        (),
        description="the only ways of signing to accept; by default HS256 with a secret, "
        "and RS256,ES256 else",
    )
    auth_jwt_audience: Names = Field((), description="aud must have one of these, comma list")
    auth_jwt_issuer: str | None = Field(None, description="what iss must be")
    auth_jwt_leeway: Seconds = Field(30.0, description="how far clocks may differ")
    auth_jwt_grace: Seconds = Field(
        0.0,
        description="how long after its end a token may still continue uploads of its owner "
        "(HEAD, PATCH)",
    )
    auth_jwt_owner_claim: str = Field("sub", description="claim that names the owner; required")
    auth_jwt_max_size_claim: str = Field(
        "upload_max_size", description="claim that caps the bytes of one upload, if it is there"
    )
    auth_jwt_types_claim: str = Field(
        "upload_types", description="claim that lists the types allowed, if it is there"
    )
    auth_jwt_quota_claim: str | None = Field(
        None, description="claim with the limits of the owner, an object, if it is there"
    )

    allowed_types: Globs = Field(
        (),
        title="Files",
        description="globs such as video/*,image/png that filetype and the first bytes of a file "
        "must match; by default all",
    )
    allowed_extensions: Extensions = Field(
        (), description="extensions such as mp4,tar.gz that filename must have; by default all"
    )
    digests: Algorithms = Field(
        (),
        description="digests of every finished file to tell hooks and in Repr-Digest: sha256, md5,"
        " sha512, sha384, sha1, sha3-256, blake2b, crc32",
    )
    digest_metadata: DigestKeys = Field(
        (),
        description="keys of Upload-Metadata in which clients declare digests that a file must"
        " have, such as sha256,md5 or x-hash=sha512",
    )
    place_as: PathTemplate | None = Field(
        None,
        description="name that finished files get in place-dir, such as"
        " {owner}/{date}/{id}-{filename}; there are year, month, day and ext, too",
    )
    place_dir: Path | None = Field(
        None, description="where they get it, on the file system of upload-dir; made if missing"
    )

    max_size: ByteSize = Field(
        ByteSize(0), title="Limits", description="largest upload, such as 10GiB; 0: no limit"
    )
    max_open_uploads: Count = Field(0, description="most unfinished uploads of all; 0: no limit")
    max_total_bytes: ByteSize = Field(_NONE, description="most bytes of all uploads; 0: no limit")
    max_uploads_per_minute: Count = Field(0, description="most new uploads a minute; 0: no limit")
    max_bytes_per_second: ByteSize = Field(_NONE, description="rate of all bodies; 0: no limit")
    owner_max_open_uploads: Count = Field(0, description="most unfinished uploads of an owner")
    owner_max_total_bytes: ByteSize = Field(_NONE, description="most bytes of an owner")
    owner_max_uploads_per_minute: Count = Field(0, description="most new ones of an owner")
    owner_max_bytes_per_second: ByteSize = Field(_NONE, description="rate of an owner's bodies")
    upload_max_bytes_per_second: ByteSize = Field(_NONE, description="rate of one upload")
    min_free_space: ByteSize = Field(_NONE, description="bytes that stay free on the volume")
    count_uploads: bool = Field(
        False,
        description="count uploads though none of these limits them, because tokens or hooks do",
    )
    max_parts: int = Field(1000, ge=1, description="most partial uploads in one concatenation")
    network_timeout: Seconds = Field(
        60.0, gt=0, description="how long a client may neither send nor take bytes"
    )
    min_body_rate: ByteSize = Field(
        ByteSize(100),
        description="bytes a second that a body must bring on average, looked at after twice the"
        " network timeout; 0: any",
    )
    max_connections: int = Field(
        0,
        ge=0,
        description="most connections of each worker; 0: a third of the files it may open, at most"
        " 20000",
    )
    max_connections_per_address: int = Field(
        0,
        ge=0,
        description="most connections of each worker with one IPv4 address or IPv6 /64; 0: no"
        " limit, for a proxy has one address",
    )
    acquire_lock_timeout: Seconds = Field(
        20.0, description="how long a request waits for another one to leave the same upload"
    )
    shutdown_timeout: Seconds = Field(
        10.0, description="how long running requests may take to end at SIGTERM"
    )

    disable_download: bool = Field(False, title="Features", description="no GET of uploads")
    disable_termination: bool = Field(False, description="no DELETE of uploads")
    disable_concatenation: bool = Field(False, description="refuse Upload-Concat")

    pages: bool = Field(True, title="Pages", description="serve the upload page at /")
    pages_chunk_size: ByteSize = Field(
        ByteSize(0),
        description="most bytes that the upload page sends in one request, for proxies that limit "
        "them; 0: each file in one",
    )

    hooks_dir: Path | None = Field(
        None, title="Hooks", description="directory of executables, each named like its hook"
    )
    hooks_command_timeout: Seconds = Field(
        60.0, gt=0, description="how long a command may run before it is killed"
    )
    hooks_command_limit: int = Field(16, ge=1, description="how many commands run at once")
    hooks_python: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="package.module:name of a Python callable, or of a mapping of callables",
    )
    hooks_http: Url | None = Field(None, description="URL that hooks are sent to")
    hooks_http_forward_headers: Names = Field(
        (), description="headers of uploads to send along, comma list"
    )
    hooks_http_retry: int = Field(3, ge=0, description="how often a hook is sent at most")
    hooks_http_backoff: Seconds = Field(
        1.0, description="pause before the second time; it doubles from there"
    )
    hooks_http_timeout: Seconds = Field(
        15.0, gt=0, description="how long a hook may take, all attempts together"
    )
    hooks_http_attempt_timeout: Seconds = Field(
        15.0, gt=0, description="how long one attempt may take"
    )
    hooks_http_size_limit: ByteSize = Field(
        ByteSize(5120), gt=0, description="longest reply to a hook, also of a command"
    )
    hooks_http_secret: SecretStr | None = Field(
        None,
        description="secret for signatures, whsec_...; two with a blank between during a rotation",
        json_schema_extra={"flag": False},
    )
    hooks_http_secret_file: Path | None = Field(
        None, description="file with that secret, or with two, one a line"
    )
    hooks_enabled_events: HookNames = Field(
        (
            HookType.PRE_CREATE,
            HookType.POST_CREATE,
            HookType.POST_RECEIVE,
            HookType.POST_TERMINATE,
            HookType.POST_FINISH,
        ),
        description="hooks to call, comma list; empty or all: every one",
    )
    hooks_skip_partials: bool = Field(
        False, description="tell nothing of partial uploads; they are still asked about"
    )
    progress_hooks_interval: Seconds = Field(
        1.0, gt=0, description="how often post-receive is called while bytes come"
    )

    disable_cors: bool = Field(False, title="CORS", description="send no CORS headers")
    cors_allow_origin: Pattern = Field(
        ".*", description="regular expression that the whole Origin must match"
    )
    cors_allow_credentials: bool = Field(False, description="allow cookies and the like")
    cors_allow_methods: Names = Field((), description="more methods to allow, comma list")
    cors_allow_headers: Names = Field((), description="more request headers to allow, comma list")
    cors_expose_headers: Names = Field(
        (), description="more response headers to expose, comma list"
    )
    cors_max_age: int = Field(86400, ge=0, description="seconds a preflight answer may be kept")

    admin_listen: Address | None = Field(
        None,
        title="Monitoring",
        description="port, or host:port, of the admin listener: health, metrics and the like; "
        "whoever reaches it may see all of it",
    )
    admin_hosts: Names = Field(
        (),
        description="host names by which the admin listener may be reached, comma list, beside "
        "addresses and localhost; *: any",
    )
    admin_token_file: Path | None = Field(
        None,
        description="file with a token on each line, of which the admin API wants one; read again "
        "when it changes",
    )
    history: Literal["auto", "on", "off"] = Field(
        "auto",
        description="keep counts of what happened in the last week for the dashboard; auto: if "
        "there is an admin listener",
    )
    ready_free_space: ByteSize = Field(
        ByteSize(100 * 1024 * 1024),
        description="with less than that free for uploads, /readyz says no; 0: never",
    )
    expose_metrics: bool = Field(
        False, description="metrics on the port of uploads, too, as tusd has them"
    )
    metrics_path: str = Field(
        "/metrics",
        pattern=r"^/[A-Za-z0-9._~/-]+$",
        description="with expose-metrics: where they are",
    )

    tracing: bool = Field(
        False,
        description="send traces by OTLP over HTTP to where the OTEL_ environment says; needs the"
        " extra otel",
    )

    log_format: Literal["auto", "text", "json"] = Field(
        "auto", title="Output", description="auto: text on a terminal, json elsewhere"
    )
    log_requests: bool = Field(
        True, description="a line for each request, and when uploads are created, finished, removed"
    )
    verbose: bool = Field(False, description="log more, for finding out what happens")
    show_greeting: bool = Field(
        True, description="answer GET / with a line of text where there is no upload page"
    )

    @field_validator("workers")
    @classmethod
    def _at_least_one_worker(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("must be a positive number or auto")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls-certificate and tls-key are only good together")
        if (self.place_as is None) != (self.place_dir is None):
            raise ValueError("place-as and place-dir are only good together")
        if self.trusted_proxies and not self.behind_proxy:
            raise ValueError("trusted-proxies is only good with behind-proxy")
        self._check_jwt()
        if self.cors_allow_credentials and re.fullmatch(self.cors_allow_origin, _ANY_ORIGIN):
            raise ValueError(
                "cors-allow-credentials needs a cors-allow-origin that names your own origins"
            )
        return self

    def _check_jwt(self) -> None:
        keys = (self.auth_jwt_secret_file, self.auth_jwt_key_file, self.auth_jwt_jwks)
        given = sum(key is not None for key in keys)
        if given > 1:
            raise ValueError("auth-jwt-secret-file, -key-file and -jwks exclude each other")
        if not given and (self.auth_jwt_audience or self.auth_jwt_issuer):
            raise ValueError("auth-jwt-audience and -issuer need a key, a secret or a key set")
        accepted = _HMAC if self.auth_jwt_secret_file else _SIGNATURES
        for name in self.auth_jwt_algorithms:
            if name not in accepted:
                raise ValueError(f"auth-jwt-algorithms: it must be of {', '.join(accepted)}")
        url = urlsplit(self.auth_jwt_jwks or "")
        # Whoever can change the answer on its way can let everybody in.
        if url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("auth-jwt-jwks must be https, or a path")
