"""The file of API keys: who may call, for what, how often and until when. It holds no secret.

A secret is 256 random bits, so its plain SHA-256 is enough at rest: there is no dictionary of such secrets to try, and
nobody can run through 2^256 of them, however fast the hash. Slow, salted hashes are for what people choose. The hash is
of the whole token, as it stands in the header.
"""

import contextlib
import hashlib
import os
import secrets
import stat
import tempfile
from collections import Counter
from datetime import datetime
from pathlib import Path

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_serializer, model_validator

from jobcast_server.errors import StartupError
from jobcast_server.security.scopes import Scope

PREFIX = "jc_"
"""Begins every token, so that scanners for lost secrets can know one."""

LARGEST = 16 * 2**20

log = structlog.get_logger()


class Key(BaseModel):
    """One key.

    Attributes:
        id: what logs call it. sha256: of the token, as hex digits. scopes: what it opens.
        rate: calls per second; 0 = no limit. burst: calls that may come at once; 0 = those of a second.
        expires: from when it opens nothing; None = never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: frozenset[Scope] = Field(min_length=1)
    rate: float = Field(0.0, ge=0, le=1e6, allow_inf_nan=False)
    burst: float = Field(0.0, ge=0, le=1e6, allow_inf_nan=False)
    expires: AwareDatetime | None = None

    @field_serializer("scopes")
    def _in_order(self, scopes: frozenset[Scope]) -> list[str]:
        return [scope for scope in Scope if scope in scopes]

    @property
    def digest(self) -> bytes:
        """The 32 bytes of `sha256`."""
        return bytes.fromhex(self.sha256)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Calls per second and burst, at least one; None = no limit."""
        return (self.rate, max(1.0, self.burst or self.rate)) if self.rate else None

    def over(self, now: datetime) -> bool:
        """Whether it has expired."""
        return self.expires is not None and now >= self.expires


class KeyFile(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[Key, ...] = Field(max_length=10_000)

    @model_validator(mode="after")
    def _each_once(self) -> "KeyFile":
        for name, values in (("id", [key.id for key in self.keys]), ("sha256", [key.sha256 for key in self.keys])):
            for value, count in Counter(values).items():
                if count > 1:
                    raise ValueError(f"{name} must be of one key, got {value!r} {count} times")
        return self


def digest(token: bytes) -> bytes:
    """What a token is known by."""
    return hashlib.sha256(token).digest()


def secret() -> str:
    """A new token."""
    return PREFIX + secrets.token_urlsafe(32)


def read(path: Path) -> tuple[Key, ...]:
    """The keys of a file.

    Raises:
        StartupError: it cannot be read, is no file of keys, or everybody could write it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise StartupError(f"keys: {path} cannot be read: {error.strerror}; make one with `jobcast keys new`") from None
    if mode & stat.S_IWOTH:
        raise StartupError(f"keys: {path} can be written by everybody, so it may be anybody's; chmod 600 {path}")
    if mode & stat.S_IROTH:
        log.warning("keys can be read by everybody", file=str(path), mend=f"chmod 600 {path}")
    if len(raw) > LARGEST:
        raise StartupError(f"keys: {path} must be at most {LARGEST} bytes, got more")
    try:
        return KeyFile.model_validate_json(raw).keys
    except ValidationError as error:
        raise StartupError("\n".join(f"keys: {path}: {_told(item)}" for item in error.errors()[:5])) from None


def write(path: Path, keys: tuple[Key, ...]) -> None:
    """Replace the file in one step; others cannot read it.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    text = KeyFile(keys=keys).model_dump_json(indent=2) + "\n"
    path = path.resolve()  # a link stays one
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".keys-")
    try:
        with os.fdopen(handle, "w") as file:
            if path.exists():  # whoever could read the old one, such as the server's user, can read the new one
                old = path.stat()
                os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode) & ~stat.S_IRWXO)
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _told(item: object) -> str:
    """One problem, without the value: a token may stand where a hash belongs."""
    assert isinstance(item, dict)  # noqa: S101 - as pydantic has it
    where = ".".join(map(str, item["loc"]))
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
