"""`env/<name>.json`: one deployed chat, as a file that people read, commit and edit.

Two keys are enough, spelled as in the original example: `iotGatewayName` and `cognitoIdentityPoolId`. The file never
holds a secret. It is written atomically, so that a reader never sees half of it.
"""

import difflib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chatops.chat.rooms import DEFAULT_PREFIX, check_prefix, parse_room
from chatops.errors import ChatopsError, ConfigurationError
from chatops.files import read_bounded

MAX_FILE_BYTES = 256 * 1024
LOCAL = "local"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d+)?|\[[0-9A-Fa-f:]+\](?::\d+)?")
_POOL = re.compile(r"([a-z]{2}(?:-[a-z]+)+-\d+):[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d+")

_SITE_KEYS = frozenset({"bucket", "distribution", "url"})
_MANAGED_KEYS = frozenset({"account", "role", "policy"})
_ENDPOINT_KEYS = frozenset(
    {
        "aws",
        "cloudfront",
        "cognito-identity",
        "gateway",
        "gateway-ca",
        "iam",
        "iot",
        "iot-data",
        "s3",
        "service-quotas",
        "sts",
    }
)


@dataclass(frozen=True, slots=True)
class Environment:
    """One deployed chat.

    Attributes:
        gateway: the AWS IoT data endpoint's host name (`iotGatewayName`).
        identity_pool_id: `<region>:<uuid>` (`cognitoIdentityPoolId`).
        endpoints: URL overrides by service; `aws` stands for all services, `gateway` for the WebSocket gateway.
        site: where the page is published (`bucket`, `distribution`, `url`).
        managed: what `setup` made (`account`, `role`, `policy`).
    """

    name: str
    gateway: str
    identity_pool_id: str
    region: str
    topic_prefix: str = DEFAULT_PREFIX
    title: str | None = None
    rooms: tuple[str, ...] = ()
    endpoints: Mapping[str, str] = field(default_factory=dict)
    site: Mapping[str, str] = field(default_factory=dict)
    managed: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The JSON form, keys in their stable order, defaults left out."""
        document: dict[str, Any] = {
            "iotGatewayName": self.gateway,
            "cognitoIdentityPoolId": self.identity_pool_id,
        }
        if self.region != region_of_pool(self.identity_pool_id):
            document["region"] = self.region
        if self.topic_prefix != DEFAULT_PREFIX:
            document["topicPrefix"] = self.topic_prefix
        if self.title is not None:
            document["title"] = self.title
        if self.rooms:
            document["rooms"] = list(self.rooms)
        for key, mapping in (("endpoints", self.endpoints), ("site", self.site), ("managed", self.managed)):
            if mapping:
                document[key] = dict(sorted(mapping.items()))
        return document


def check_name(name: str) -> str:
    """Return `name` when it can be an environment's.

    Raises:
        ConfigurationError: it is empty, too long, or has characters that do not belong into a file name.
    """
    if _NAME.fullmatch(name) is None:
        stem = Path(name).stem
        raise ConfigurationError(
            f"{name!r} cannot be the name of an environment",
            f"give its name alone: --env {stem}"
            if _NAME.fullmatch(stem)
            else "use up to 40 letters, digits, - and _, starting with a letter or digit",
        )
    return name


def check_region(region: str) -> str:
    """Return `region` when it has the form of an AWS Region's name.

    Raises:
        ConfigurationError: it has not.
    """
    if _REGION.fullmatch(region) is None:
        raise ConfigurationError(f"{region!r} is not an AWS Region", "write it like eu-west-1")
    return region


def region_of_pool(pool_id: str) -> str | None:
    """The Region in an identity pool's id, None when the id has not the form of one."""
    match = _POOL.fullmatch(pool_id)
    return match.group(1) if match else None


def path_of(directory: Path, name: str) -> Path:
    """The file of an environment."""
    return directory / f"{check_name(name)}.json"


def names_in(directory: Path) -> list[str]:
    """The environments that have a file in `directory`, sorted; the committed example and `local` are none."""
    try:
        found = [p.stem for p in directory.iterdir() if p.suffix == ".json" and _NAME.fullmatch(p.stem)]
    except OSError:
        return []
    return sorted(name for name in found if name not in {"example", LOCAL})


def load(directory: Path, name: str) -> Environment:
    """Read and check `<directory>/<name>.json`.

    Raises:
        ConfigurationError: there is no such file, or something in it is wrong; the message says what and where.
    """
    path = path_of(directory, name)
    try:
        raw = read_bounded(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        known = names_in(directory)
        listing = f"there are {', '.join(known)}" if known else f"the folder {directory} has none yet"
        near = difflib.get_close_matches(name, known, n=1)
        raise ConfigurationError(
            f"There is no environment {name!r} ({listing})",
            f"did you mean {near[0]!r}?"
            if near
            else f"make it with `chatops setup --env {name}`, or use the embedded one with --env local",
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}", "check its permissions, and that it is an environment file"
        ) from None
    return parse(raw, name=name, where=str(path))


def parse(raw: bytes, *, name: str, where: str) -> Environment:
    """Check the bytes of an environment file.

    Args:
        where: the file's path, for messages.

    Raises:
        ConfigurationError: the bytes are not JSON (with line and column), a key is unknown (with the nearest known
            one), missing, or has a wrong value.
    """
    document = _decode(raw, where)
    _check_keys(document, _FIELDS, where, "")
    for key in ("iotGatewayName", "cognitoIdentityPoolId"):
        if key not in document:
            raise ConfigurationError(f"{where} lacks {key!r}", f"run `chatops setup --env {name}` to write it anew")
    gateway = _host(_text(document, "iotGatewayName", where), "iotGatewayName", where)
    pool_id = _text(document, "cognitoIdentityPoolId", where)
    pool_region = region_of_pool(pool_id)
    if pool_region is None:
        raise ConfigurationError(
            f"{where}: cognitoIdentityPoolId {pool_id!r} is not the id of an identity pool",
            "it looks like eu-west-1:7b0cb1f2-1111-4222-8333-444455556666",
        )
    region = check_region(_text(document, "region", where)) if "region" in document else pool_region
    if region != pool_region:
        raise ConfigurationError(
            f"{where}: region is {region}, but the identity pool is in {pool_region}",
            "an environment lives in one Region: remove `region`, or name a pool of that Region",
        )
    try:
        prefix = check_prefix(_text(document, "topicPrefix", where)) if "topicPrefix" in document else DEFAULT_PREFIX
        rooms = tuple(parse_room(room, prefix).topic for room in _texts(document, "rooms", where))
    except ConfigurationError:
        raise
    except ChatopsError as error:
        raise ConfigurationError(f"{where}: {error.problem}", error.remedy) from None
    return Environment(
        name=name,
        gateway=gateway,
        identity_pool_id=pool_id,
        region=region,
        topic_prefix=prefix,
        title=_text(document, "title", where) if "title" in document else None,
        rooms=rooms,
        endpoints=_endpoints(document, where),
        site=_mapping(document, "site", _SITE_KEYS, where),
        managed=_mapping(document, "managed", _MANAGED_KEYS, where),
    )


def render(environment: Environment) -> str:
    """The text of an environment's file."""
    return json.dumps(environment.document(), indent=2, ensure_ascii=False) + "\n"


def save(directory: Path, environment: Environment) -> Path:
    """Write an environment's file atomically, mode 0644; the folder is made when it is missing.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    import tempfile  # noqa: PLC0415  (19 ms; most commands only read)

    path = path_of(directory, environment.name)
    # What cannot be read back must not be written: every command would refuse the file.
    parse(render(environment).encode("utf-8", "surrogatepass"), name=environment.name, where=str(path))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{environment.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(render(environment))
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}", "choose a folder that can with --env-dir"
        ) from None
    return path


_FIELDS = frozenset(
    {
        "iotGatewayName",
        "cognitoIdentityPoolId",
        "region",
        "topicPrefix",
        "title",
        "rooms",
        "endpoints",
        "site",
        "managed",
    }
)


class _DuplicateKeyError(ValueError):
    pass


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise _DuplicateKeyError(key)
    return dict(pairs)


def _decode(raw: bytes, where: str) -> dict[str, Any]:
    remedy = "mend the file, or delete it and run `chatops setup` to write it anew"
    try:
        document = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_without_duplicates)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{where} is not UTF-8 text (byte {error.start})", remedy) from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"{where} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}", remedy
        ) from None
    except _DuplicateKeyError as error:
        raise ConfigurationError(f"{where} has the key {error.args[0]!r} twice", "keep one of them") from None
    except (RecursionError, ValueError):
        raise ConfigurationError(f"{where} is not JSON that an environment file could hold", remedy) from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{where} holds no JSON object", remedy)
    return document


def _check_keys(document: Mapping[str, Any], known: Iterable[str], where: str, inside: str) -> None:
    for key in document:
        if key not in known:
            near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
            place = f" in {inside!r}" if inside else ""
            raise ConfigurationError(
                f"{where}: unknown key {key!r}{place}",
                f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}",
            )


def _text(document: Mapping[str, Any], key: str, where: str) -> str:
    value = document[key]
    if not isinstance(value, str) or not is_text(value):
        raise ConfigurationError(f"{where}: {key!r} must be a text, not {_kind(value)}", "mend that value")
    return value


def is_text(value: str) -> bool:
    """Tell whether a value says something and can be shown: no control characters, no lone surrogates.

    Format characters are let through, since emoji and some scripts are made with them.
    """
    return bool(value.strip()) and not any(
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in value
    )


def _host(value: str, key: str, where: str) -> str:
    """Check a host name, with or without a port."""
    try:
        parts = urlsplit(f"//{value}")
        good = parts.hostname is not None and parts.netloc == value and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or _HOST.fullmatch(value) is None:
        raise ConfigurationError(
            f"{where}: {key!r} is not a host name: {value!r}", "`chatops describe-endpoint` prints the gateway's"
        )
    return value


def _url(value: str, key: str, where: str, schemes: frozenset[str]) -> str:
    """Check a URL."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(
            f"{where}: {key!r} is not a URL of the kind {' or '.join(sorted(schemes))}: {value!r}", "mend that value"
        )
    return value


def _texts(document: Mapping[str, Any], key: str, where: str) -> list[str]:
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigurationError(f"{where}: {key!r} must be a list of texts", "mend that value")
    return value


def _mapping(document: Mapping[str, Any], key: str, known: frozenset[str], where: str) -> dict[str, str]:
    value = document.get(key, {})
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: {key!r} must be an object, not {_kind(value)}", "mend that value")
    _check_keys(value, known, where, key)
    return {name: _text(value, name, where) for name in value}


def _endpoints(document: Mapping[str, Any], where: str) -> dict[str, str]:
    endpoints = _mapping(document, "endpoints", _ENDPOINT_KEYS, where)
    for name, value in endpoints.items():
        if name == "gateway":
            _url(value, "endpoints.gateway", where, frozenset({"ws", "wss"}))
        elif name != "gateway-ca":
            _url(value, f"endpoints.{name}", where, frozenset({"http", "https"}))
    return endpoints


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "an empty or unprintable one"
        case list():
            return "a list"
        case _:
            return "an object"
