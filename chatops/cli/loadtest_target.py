"""Where a load test goes and what it may ask for there: address, quotas, operator, identities."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatops.cli.context import Selection, require_local
from chatops.environment import Environment
from chatops.errors import ChatopsError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.aws.session import Aws
    from chatops.load.preflight import AccountQuotas
    from chatops.load.scenario import Scenario
    from chatops.load.target import Rates, Target

Discard = Callable[[Sequence[str]], Awaitable[int]]
_QUOTA_CODES = {
    "connects": ("L-AEA1E176", "connects per second", 500.0),
    "connections": ("L-75CAB723", "concurrent connections", 500_000.0),
    "subscriptions": ("L-589D5E1D", "subscriptions per second", 500.0),
    "publishes_in": ("L-4B33E451", "inbound publishes per second", 20_000.0),
    "publishes_out": ("L-FE4EDCF9", "outbound publishes per second", 20_000.0),
}


@dataclass(frozen=True, slots=True)
class Place:
    """An environment, as a load test sees it.

    Attributes:
        operator: calls with the operator's credentials, None without any.
        no_operator: why there are none.
    """

    environment: Environment
    target: "Target"
    quotas: "AccountQuotas"
    operator: "Aws | None"
    no_operator: str = ""

    def discard(self) -> Discard | None:
        """What deletes identities, None without an operator."""
        import asyncio

        from chatops.aws.cognito import delete_identities

        operator = self.operator
        if operator is None:
            return None

        async def discard(identity_ids: Sequence[str]) -> int:
            return await asyncio.to_thread(delete_identities, operator, identity_ids)

        return discard


def find_place(selection: Selection, environment: Environment, profile: str | None) -> Place:
    """Look up all that a run needs to know of an environment; makes nothing.

    Raises:
        ConfigurationError: the environment is not set up.
    """
    from chatops.aws.session import Aws
    from chatops.cli.lifecycle import operator_target
    from chatops.load.target import Target
    from chatops.mqtt.login import address_of, cognito_url

    record = require_local(selection) if selection.is_local else None
    operator, why = None, ""
    try:
        operator = Aws(operator_target(environment, record, profile))
        operator.keys()
    except ChatopsError as error:
        operator, why = None, error.problem
    address = address_of(environment)
    enforced = record.quotas if record is not None else "aws" if address.tls else "protocol"
    quotas = _quotas(operator if record is None and address.tls else None, enforced)
    target = Target(
        address=address,
        region=environment.region,
        cognito_url=cognito_url(environment, selection.variables),
        pool_id=environment.identity_pool_id,
        rates=_rates(enforced, quotas),
    )
    return Place(environment, target, quotas, operator, why)


def _quotas(operator: "Aws | None", enforced: str) -> "AccountQuotas":
    """The account's own quotas where Service Quotas may be asked, AWS's defaults or the local stack's otherwise."""
    from chatops.aws.quotas import Quota, current
    from chatops.load.preflight import AccountQuotas

    if operator is None:
        return AccountQuotas.of_local_stack(enforced) if enforced != "aws" else AccountQuotas()
    try:
        found = {name: current(operator, Quota(*quota)) for name, quota in _QUOTA_CODES.items()}
    except ChatopsError:
        return AccountQuotas()
    return AccountQuotas(
        "Service Quotas where permitted",
        connects=found["connects"],
        connections=found["connections"],
        subscriptions=found["subscriptions"],
        publishes_in=found["publishes_in"],
        publishes_out=found["publishes_out"],
    )


def _rates(enforced: str, quotas: "AccountQuotas") -> "Rates":
    """How fast guests may join: within the quotas wherever these are enforced."""
    from chatops.load.target import Rates

    return quotas.rates() if enforced == "aws" else Rates.local()


def say_who_stays(out: Output, place: Place, scenario: "Scenario") -> None:
    """Say beforehand that identities will stay, where nobody may delete them."""
    if place.operator is None:
        out.note(
            f"the {scenario.identity_count:,} identities that this run makes will stay in the pool: {place.no_operator}"
        )
