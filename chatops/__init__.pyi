from chatops.aws.posting import Posted as Posted
from chatops.aws.posting import post as post

__version__: str
