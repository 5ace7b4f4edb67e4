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
    from chatops.load.preflight import AccountQuotas, Preflight
    from chatops.load.scenario import Scenario
    from chatops.load.target import Rates, Target

Discard = Callable[[Sequence[str]], Awaitable[int]]


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

    def preflight(self, scenario: "Scenario", max_cost: float | None) -> "Preflight":
        """What a run asks for here, and what refuses it; see `chatops.load.preflight`."""
        from chatops.load.cost import Prices
        from chatops.load.preflight import preflight

        return preflight(scenario, self.target.rates, self.quotas, prices=Prices(), max_cost=max_cost)

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
    from chatops.aws.quotas import known
    from chatops.load.preflight import ACCOUNT_QUOTAS, AccountQuotas

    if operator is None:
        return AccountQuotas.of_local_stack(enforced) if enforced != "aws" else AccountQuotas()
    try:
        return AccountQuotas.of_account(known(operator, ACCOUNT_QUOTAS))
    except ChatopsError:
        return AccountQuotas()


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
