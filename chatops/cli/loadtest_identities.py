"""Identities that are kept from one load test to the next, encrypted at rest.

Whoever knows an anonymous identity's id can get its credentials, so the file is encrypted with a key that follows
from the operator's own secret key and the pool: it is of use to that operator alone, who could list the pool anyway.
"""

import base64
import hashlib
import hmac
import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chatops.cli.loadtest_target import Place
from chatops.errors import ConfigurationError
from chatops.files import read_bounded
from chatops.runtime import write_private

_MOST_BYTES = 512 * 1024 * 1024  # five million identities, encrypted, take some 370 MB


@dataclass(frozen=True, slots=True)
class KeptIdentities:
    """The kept identities of one pool."""

    path: Path
    _key: bytes

    def known(self) -> tuple[str, ...]:
        """Those there are; none when there is no file, or it cannot be read."""
        return self._read() or ()

    def set_aside(self) -> Path | None:
        """Move a file that cannot be read out of the way, whole: it is all that is known of its identities.

        Returns:
            Where it is now; None when there is none, or it can be read.

        Raises:
            ConfigurationError: it cannot be moved.
        """
        if self._read() is not None:
            return None
        numbers = itertools.count(1)
        aside = next(path for n in numbers if not os.path.lexists(path := self.path.with_name(f"{self.path.name}.{n}")))
        try:
            self.path.rename(aside)
        except OSError as error:
            raise ConfigurationError(
                f"The kept identities in {self.path} cannot be read, nor moved: {error.strerror}",
                "move that file, or leave --reuse-identities out",
            ) from None
        return aside

    def keep(self, identities: Sequence[str]) -> None:
        """Keep these, with those that are kept already."""
        from cryptography.fernet import Fernet

        known = self._read()
        if known is None:  # damaged while the run went on
            self.set_aside()
        everything = list(dict.fromkeys([*(known or ()), *identities]))
        write_private(self.path, Fernet(self._key).encrypt(json.dumps(everything).encode()).decode("ascii"))

    def _read(self) -> tuple[str, ...] | None:
        """The file's content; None when it is damaged, or encrypted by another operator."""
        from cryptography.fernet import Fernet, InvalidToken

        try:
            found = json.loads(Fernet(self._key).decrypt(read_bounded(self.path, _MOST_BYTES)))
        except FileNotFoundError:
            return () if not self.path.is_symlink() else None
        except (OSError, ValueError, InvalidToken):
            return None
        whole = isinstance(found, list) and all(isinstance(text, str) for text in found)
        return tuple(found) if whole else None

    def forget(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


def kept_identities(place: Place, runtime: Path) -> KeptIdentities:
    """The kept identities of an environment's pool.

    Raises:
        ConfigurationError: there are no operator credentials to encrypt with, or no package to do it.
    """
    try:
        import cryptography.fernet  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            "Reusing identities needs the package cryptography", "run: pip install 'chatops[local]'"
        ) from None
    if place.operator is None:
        raise ConfigurationError(
            f"Reusing identities needs an operator's credentials, with which they are encrypted ({place.no_operator})",
            "configure credentials, or leave --reuse-identities out",
        )
    secret = place.operator.keys().secret_access_key.encode()
    pool = place.target.pool_id
    key = base64.urlsafe_b64encode(hmac.new(secret, f"chatops identities {pool}".encode(), hashlib.sha256).digest())
    name = hashlib.sha256(pool.encode()).hexdigest()[:16]
    return KeptIdentities(runtime / f"identities-{name}", key)
