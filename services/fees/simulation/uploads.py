"""Files of dossiers on disk, named by their hash, written as they arrive and forgotten a week after their last use."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from kit.errors import BadInput, FieldError, NotFound, TooLarge
from services.fees.simulation.terms import UploadedFile

_WEEK_SECONDS = 7 * 86_400


class Uploads:
    """A folder of files. Their content decides their name, so sending a file twice is sending it once."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self.limit = limit

    def path_of(self, sha256: str) -> Path:
        """Where a file lies. Raises NotFound when it was never sent, or was forgotten."""
        path = self._folder / sha256
        if not path.is_file():
            raise NotFound(
                "Không còn tệp hồ sơ này; hãy tải tệp lên lại.", "This file of dossiers is not here; upload it again."
            )
        os.utime(path)
        return path

    async def keep(self, chunks: AsyncIterator[bytes]) -> UploadedFile:
        """Write a stream down. Raises TooLarge or BadInput; then nothing is kept."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        handle, name = await asyncio.to_thread(tempfile.mkstemp, dir=self._folder, prefix=".part-")
        temporary, digest, size = Path(name), hashlib.sha256(), 0
        try:
            with os.fdopen(handle, "wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self.limit:
                        raise TooLarge(
                            f"Tệp vượt quá {self.limit // 1024**2} MiB; hãy chia nhỏ.",
                            f"The file is over {self.limit // 1024**2} MiB; split it.",
                        )
                    digest.update(chunk)
                    await asyncio.to_thread(_write, file, chunk)
            if not size:
                message = ("tệp trống; hãy chọn tệp có hồ sơ", "the file is empty; choose one with dossiers")
                raise BadInput("Tệp trống.", "The file is empty.", fields=[FieldError("file", *message)])
            await asyncio.to_thread(temporary.replace, self._folder / digest.hexdigest())
        finally:
            await asyncio.to_thread(temporary.unlink, missing_ok=True)
        return UploadedFile(sha256=digest.hexdigest(), bytes=size)

    def forget_old(self) -> None:
        """Remove files that nobody used for a week."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _WEEK_SECONDS:
                    path.unlink()


def _write(file: BinaryIO, chunk: bytes) -> None:
    file.write(chunk)
