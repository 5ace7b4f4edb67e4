"""The border to AWS: the only package, beside the local stack, that imports boto3."""
