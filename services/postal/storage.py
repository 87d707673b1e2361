"""Where evidence lies: a folder of this machine, or a bucket of any S3-compatible store. Files are named by content.

A file once written is never written again: its name is the SHA-256 of what is in it.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

_TIMEOUT = timedelta(seconds=20)


class StorageError(Exception):
    """The store did not take, find or give what it was asked for. The message is for operators."""


class FileGone(StorageError):
    """The store has no such file."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """How to reach an S3-compatible store; None leaves a part to the environment of the process."""

    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None


class EvidenceStore:
    """Files by their SHA-256. Calls go to a disk or a network: make none of them inside a transaction."""

    def __init__(self, address: str, bucket: Bucket | None = None) -> None:
        self._address = address
        self._bucket = bucket or Bucket()

    @cached_property
    def _store(self) -> LocalStore | S3Store:
        """Made at the first file: a service that is given none leaves no folder behind."""
        return _s3(self._address, self._bucket) if self._address.startswith("s3://") else _folder(self._address)

    async def put(self, content: bytes) -> str:
        """Keep a file and give its name. Keeping it again changes nothing. Raises StorageError."""
        name = hashlib.sha256(content).hexdigest()
        try:
            await obstore.put_async(self._store, _path(name), content, mode="create")
        except AlreadyExistsError:
            pass
        except (BaseError, OSError) as error:
            raise StorageError(f"{name} was not kept: {error}") from error
        return name

    async def get(self, name: str) -> bytes:
        """The file of that name, checked against it. Raises FileGone, StorageError."""
        try:
            found = await obstore.get_async(self._store, _path(name))
            content = bytes(await found.bytes_async())
        except FileNotFoundError as error:
            raise FileGone(f"{name} is not there") from error
        except (BaseError, OSError) as error:
            raise StorageError(f"{name} was not given: {error}") from error
        if hashlib.sha256(content).hexdigest() != name:
            raise StorageError(f"{name} holds other content than its name says")
        return content

    async def delete(self, name: str) -> None:
        """Take a file away for good; one that is not there is as good as taken. Raises StorageError."""
        try:
            await obstore.delete_async(self._store, _path(name))
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise StorageError(f"{name} was not deleted: {error}") from error


def _path(name: str) -> str:
    """Two letters make a folder, so that no folder grows without measure."""
    if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
        raise ValueError("a file is named by a SHA-256 in hexadecimal")
    return f"{name[:2]}/{name}"


def _folder(address: str) -> LocalStore:
    path = Path(address.removeprefix("file://")).absolute()
    return LocalStore(path, automatic_cleanup=False, mkdir=True)


def _s3(address: str, bucket: Bucket) -> S3Store:
    parts = urlsplit(address)
    given = {
        "endpoint": bucket.endpoint,
        "region": bucket.region,
        "access_key_id": bucket.access_key_id,
        "secret_access_key": bucket.secret_access_key,
    }
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config={name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        retry_config={"max_retries": 2, "retry_timeout": _TIMEOUT},
        client_options={
            "allow_http": bool(bucket.endpoint and bucket.endpoint.startswith("http://")),
            "timeout": _TIMEOUT,
        },
    )
