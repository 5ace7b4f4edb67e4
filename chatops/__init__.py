"""chatops: the operator's toolkit for a serverless chat on AWS IoT Core.

import chatops

chatops.post("lobby", "maintenance soon", environment="production")
"""

import importlib
from typing import Any

__all__ = ["Posted", "__version__", "post"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load what is public when it is used: it brings boto3 with it."""
    if name in {"Posted", "post"}:
        return getattr(importlib.import_module("chatops.aws.posting"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
