"""chatops: the operator's toolkit for a serverless chat on AWS IoT Core.

import chatops

chatops.post("lobby", "maintenance soon", environment="production")
"""

__all__ = ["Posted", "__version__", "post"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Load what is public when it is used: it brings boto3 with it."""
    if name in {"Posted", "post"}:
        import importlib  # noqa: PLC0415  (the command line imports nothing before it can be interrupted quietly)

        return getattr(importlib.import_module("chatops.aws.posting"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
