"""The whole site of one environment: the bundle, the environment's `config.json`, and a folder to put them in."""

import html
import json
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from chatops.environment import Environment
from chatops.errors import ConfigurationError
from chatops.site.bundle import Bundle
from chatops.site.headers import addresses, content_security_policy

INDEX = "index.html"
CONFIG = "config.json"
_POLICY_HOLE = b"{{policy}}"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Site:
    """The files of one environment's page by path, and the Content-Security-Policy that they live under."""

    files: Mapping[str, bytes]
    policy: str

    @property
    def upload_order(self) -> list[str]:
        """Assets before what names them, `index.html` last, so that no visitor meets half a page."""
        return sorted(self.files, key=lambda path: (path == INDEX, path == CONFIG, path))


def configuration(environment: Environment, cognito: str, gateway: str) -> dict[str, object]:
    """`config.json`: the public part of the environment file."""
    return {
        "title": environment.title or "Chat",
        "region": environment.region,
        "identityPoolId": environment.identity_pool_id,
        "gateway": gateway,
        "cognito": cognito,
        "topicPrefix": environment.topic_prefix,
        "rooms": list(environment.rooms) or [f"{environment.topic_prefix}lobby"],
    }


def make_site(environment: Environment, bundle: Bundle, variables: Mapping[str, str]) -> Site:
    """Fill the bundle in for an environment.

    Raises:
        ConfigurationError: the environment's gateway cannot be read.
    """
    cognito, gateway = addresses(environment, variables)
    policy = content_security_policy(cognito, gateway)
    files = dict(bundle.files)
    files[INDEX] = files[INDEX].replace(_POLICY_HOLE, html.escape(policy, quote=True).encode())
    document = configuration(environment, cognito, gateway)
    files[CONFIG] = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    return Site(files, policy)


def write_site(site: Site, directory: Path) -> None:
    """Write a site into a folder; hashed assets of an earlier build go.

    Raises:
        ConfigurationError: the folder holds something else, or cannot be written to.
    """
    try:
        if directory.exists() and any(directory.iterdir()) and not (directory / CONFIG).exists():
            raise ConfigurationError(
                f"{directory} holds something that is not a site", "choose an empty folder with --out"
            )
        for path in site.upload_order:
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(site.files[path])
        for old in (directory / "assets").iterdir():
            if f"assets/{old.name}" not in site.files:
                old.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"{directory} cannot be written: {error.strerror}", "choose another with --out"
        ) from None


def zip_site(site: Site) -> bytes:
    """A site as a ZIP archive, the same bytes for the same site."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in site.upload_order:
            entry = zipfile.ZipInfo(path, date_time=_ZIP_EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, site.files[path], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def write_zip(site: Site, path: Path) -> None:
    """Write a site as a ZIP archive, whole or not at all.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder", "name a file with --zip")
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(zip_site(site))
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}", "choose another file with --zip"
        ) from None
