"""The operator's own guest policy: read, checked, and told where it is broader than a chat needs."""

import json
from pathlib import Path
from typing import Any

from chatops.chat.iam import PolicyError, parse_policy
from chatops.errors import ConfigurationError
from chatops.files import read_bounded

MAX_CHARACTERS = 10_240
"""IAM's limit for all inline policies of a role together, white space not counted; one policy uses it here."""

_MOST_BYTES = 1 << 20  # with all its white space


def read_policy(path: Path) -> dict[str, Any]:
    """Read a policy document.

    Raises:
        ConfigurationError: it cannot be read, is not JSON (with line and column), is no IAM policy, or is too long.
    """
    remedy = "mend the file, or leave --policy out for the least-privilege policy"
    try:
        text = read_bounded(path, _MOST_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(f"The policy {path} cannot be read: {reason}", remedy) from None
    size = len("".join(text.split()))
    if size > MAX_CHARACTERS:
        raise ConfigurationError(f"The policy {path} has {size} characters; IAM takes {MAX_CHARACTERS}", remedy)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"The policy {path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}", remedy
        ) from None
    except (ValueError, RecursionError):
        raise ConfigurationError(f"The policy {path} is not JSON that a policy could be", remedy) from None
    try:
        parse_policy(document)
    except PolicyError as error:
        raise ConfigurationError(f"The policy {path} is no IAM policy: {error}", remedy) from None
    return dict(document)
