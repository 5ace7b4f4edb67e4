"""Churn and storms against a crowd that only writes down what it is told."""

import asyncio
from collections.abc import Callable

from chatops.load.restless import Reconnects, Renew, Restlessness
from chatops.load.scenario import Scenario


class Crowd:
    """Everybody comes back as soon as they are asked to."""

    def __init__(self) -> None:
        self.away: set[int] = set()
        self.left: list[tuple[int, bool]] = []
        self.stuck: set[int] = set()

    def present(self, client: int) -> bool:
        return client not in self.away

    def send_away(self, client: int, *, abrupt: bool) -> None:
        assert client not in self.away
        self.away.add(client)
        self.left.append((client, abrupt))

    def bring_back(self, client: int, done: Callable[[], None]) -> None:
        if client not in self.stuck:
            self.away.discard(client)
            done()


def played(scenario: Scenario, crowd: Crowd, limit_s: float = 10.0, renew: Renew | None = None) -> Reconnects:
    async def body() -> Reconnects:
        restless = Restlessness(crowd, scenario, list(range(scenario.clients)), renew)
        task = asyncio.create_task(restless.run(asyncio.get_running_loop().time()))
        await asyncio.wait([task], timeout=limit_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return restless.reconnects

    return asyncio.run(body())


def test_a_storm_drops_its_share_at_once_and_times_their_return() -> None:
    crowd = Crowd()
    scenario = Scenario(clients=40, warm_up_s=0.0, duration_s=1.0, storm_share=0.5, storm_at_s=0.05, storm_back_s=1.3)
    found = played(scenario, crowd)
    assert len({client for client, _ in crowd.left}) == 20
    assert all(abrupt for _, abrupt in crowd.left)
    assert (found.storm_dropped, found.storm_returned, found.returned) == (20, 20, 20)
    assert found.storm_back_s is not None
    assert found.storm_back_s >= 1.2
    assert crowd.away == set()


def test_those_who_never_come_back_leave_the_storm_without_an_end() -> None:
    crowd = Crowd()
    crowd.stuck = set(range(40))
    scenario = Scenario(clients=40, warm_up_s=0.0, duration_s=1.0, storm_share=0.1, storm_at_s=0.0, storm_back_s=1.2)
    found = played(scenario, crowd, 1.5)
    assert (found.storm_dropped, found.storm_returned, found.storm_back_s) == (4, 0, None)
    assert found.document()["storm"]["seconds_until_99_percent_back"] is None


def test_churn_is_by_chance_and_the_same_for_the_same_seed() -> None:
    scenario = Scenario(clients=60, warm_up_s=0.0, duration_s=0.5, churn_per_minute=20.0, away_s=1.2)
    first, second = Crowd(), Crowd()
    found = played(scenario, first, 0.7)
    played(scenario, second, 0.7)
    assert 2 <= found.left == len(first.left) <= 25  # 10 are expected
    assert first.left == second.left
    assert not any(abrupt for _, abrupt in first.left)


def test_nothing_happens_where_nothing_is_asked_for() -> None:
    crowd = Crowd()
    found = played(Scenario(clients=5, warm_up_s=0.0, duration_s=0.2), crowd)
    assert (found.left, crowd.left) == (0, [])


def test_expired_credentials_are_replaced_before_anybody_comes_back() -> None:
    crowd = Crowd()
    asked: list[int] = []

    async def renew(client: int) -> bool:
        assert client in crowd.away
        asked.append(client)
        return client != 3

    scenario = Scenario(clients=40, warm_up_s=0.0, duration_s=1.0, expiry_at_s=0.05, expiry_back_s=1.3)
    found = played(scenario, crowd, renew=renew)
    assert sorted(asked) == list(range(40))
    assert not any(abrupt for _, abrupt in crowd.left)
    assert (found.expired, found.renewed, found.returned) == (40, 39, 39)
    assert crowd.away == {3}
    assert found.document()["expiry"]["seconds_until_99_percent_back"] is None
    assert found.document()["expiry"]["returned"] == 39
