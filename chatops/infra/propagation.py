"""Waiting for IAM: what was just made is not in force everywhere at once."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

from chatops.errors import AwsError, NotAuthorisedError, ThrottledError
from chatops.mqtt.guests import Guests
from chatops.mqtt.login import guest_credentials

LONGEST_WAIT_S = 90.0
"""AWS says that IAM is eventually consistent and gives no bound; a new role is usually there within 15 seconds."""

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 5.0


async def wait_for_guests(cognito_url: str, pool_id: str, runtime: Path, waiting: Callable[[float, str], None]) -> None:
    """Ask for a guest's credentials until they are given; uses the identity that this user's other commands use.

    Args:
        waiting: told, at each refusal, how long it has been and why.

    Raises:
        AwsError: they were still refused after 90 seconds.
        ChatopsError: the pool cannot be reached, or lets no guests in.
    """
    begun = time.monotonic()
    delay = _FIRST_DELAY_S
    while True:
        try:
            async with Guests(cognito_url, pool_id) as guests:
                await guest_credentials(guests, pool_id, runtime)
        except NotAuthorisedError:
            raise
        except AwsError as error:
            elapsed = time.monotonic() - begun
            if isinstance(error, ThrottledError) or elapsed > LONGEST_WAIT_S:
                raise
            waiting(elapsed, error.problem)
        else:
            return
        await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311  (jitter, not a secret)
        delay = min(_LONGEST_DELAY_S, delay * 2)
