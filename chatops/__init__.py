"""chatops: the operator's toolkit for a serverless chat on AWS IoT Core."""

__version__ = "0.1.0"
