"""The exception tree of chatops and the exit codes it maps to.

Every expected failure is a `ChatopsError`: one sentence that says what went wrong in the user's words, one that
says what to do about it, and the exit code that scripts can rely on. They are turned into output in one place,
`chatops.cli.app`. Nothing else in the package is imported from here.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process exits with; listed for users in the README."""

    DONE = 0
    BUG = 1
    USAGE = 2
    CONFIGURATION = 3
    NOT_AUTHORISED = 4
    AWS_FAILED = 5
    CONNECTION = 6
    PARTLY_DONE = 7
    DIFFERENCES = 8
    THRESHOLD = 9
    NOT_VALID = 10
    INTERRUPTED = 130


class ChatopsError(Exception):
    """An expected failure.

    Args:
        problem: what went wrong, one sentence without a final full stop.
        remedy: what the user can do about it, likewise.
    """

    code: ExitCode = ExitCode.BUG

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


class UsageError(ChatopsError):
    """The command line asks for something that cannot be."""

    code = ExitCode.USAGE


class ConfigurationError(ChatopsError):
    """An environment file, a setting or the installation is wrong or missing."""

    code = ExitCode.CONFIGURATION


class NotAuthorisedError(ChatopsError):
    """AWS, or the gateway, refused for lack of permission or of credentials."""

    code = ExitCode.NOT_AUTHORISED


class NotOwnedError(NotAuthorisedError):
    """What a request names is another account's, as far as these credentials can tell."""


class AwsError(ChatopsError):
    """AWS refused a request for another reason, or failed."""

    code = ExitCode.AWS_FAILED


class NotFoundError(AwsError):
    """What a request names does not exist."""


class AlreadyExistsError(AwsError):
    """What a request would make is there already."""


class InUseError(AwsError):
    """What a request would change or delete is in use, or is changing; trying again later may do."""


class ThrottledError(AwsError):
    """AWS answered that requests come too fast."""


class ConnectionFailedError(ChatopsError):
    """No connection could be made, or one was lost for good."""

    code = ExitCode.CONNECTION


class PartlyDoneError(ChatopsError):
    """Some of several things were done; the message says which are left."""

    code = ExitCode.PARTLY_DONE


class DifferencesError(ChatopsError):
    """What exists differs from what is wanted."""

    code = ExitCode.DIFFERENCES


class ThresholdError(ChatopsError):
    """A threshold that the user set was not met."""

    code = ExitCode.THRESHOLD


class NotValidError(ChatopsError):
    """A measurement does not measure what it should: the generator was the bottleneck."""

    code = ExitCode.NOT_VALID
