"""A run shared out over several processes: the same counts as one process has, whatever the order of messages."""

import asyncio
import pickle
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatops.errors import AwsError, ConnectionFailedError
from chatops.load.attendance import Post
from chatops.load.fleet import Fleet
from chatops.load.joining import Joining
from chatops.load.ledger import Ledger, total
from chatops.load.message import post_number
from chatops.load.progress import Stage
from chatops.load.protocol import (
    AllAnswered,
    Answered,
    Begin,
    Delta,
    Finished,
    Joined,
    Lost,
    Posts,
    Stop,
    ToProcess,
)
from chatops.load.reports import Reports
from chatops.load.scenario import Scenario, Spread
from chatops.load.share import Share
from chatops.load.statistics import Metric, Statistics, Window
from chatops.load.tally import Difference, Kind, Tally
from chatops.load.totals import Part, Totals

PEOPLE = 5
ROOMS = ("/chat/a", "/chat/b")
ROOM_OF = (0, 0, 0, 1, 1)
MEMBERS = tuple([client for client in range(PEOPLE) if ROOM_OF[client] == room] for room in range(2))
STEP_US = 1_000


def books(share: Share) -> Ledger:
    rooms = [(ROOMS[room], [one for one in MEMBERS[room] if share.mine(one)]) for room in range(2)]
    ledger = Ledger(rooms, room_of=None if share.alone else ROOM_OF)
    for client in range(PEOPLE):
        if share.mine(client):
            ledger.subscribing(client, 0)
            ledger.subscribed(client, 1)
    return ledger


class World:
    """The ledgers of one run; what one process reports reaches the others when it pleases `hand_over`."""

    def __init__(self, count: int) -> None:
        self.shares = [Share(index, count, PEOPLE) for index in range(count)]
        self.ledgers = [books(share) for share in self.shares]
        self.posts: dict[int, Post] = {}
        self.reports: list[tuple[int, int, int, bool]] = []

    def post(self, sender: int, sequence: int, at_us: int) -> int:
        owner = self.shares[0].of(sender)
        self.ledgers[owner].due(sender, Window.STEADY)
        post = self.ledgers[owner].sent(sender, sequence, due_us=at_us, sent_us=at_us, window=Window.STEADY)
        self.posts[post.number] = post
        return post.number

    def end(self, number: int, at_us: int, *, acknowledged: bool) -> None:
        owner, post = self.shares[0].of(number >> 24), self.posts[number]
        ledger = self.ledgers[owner]
        (ledger.acknowledged if acknowledged else ledger.failed)(post, at_us)
        self.reports.append((number, post.due_us, at_us, acknowledged))

    def deliver(self, number: int, receiver: int, at_us: int) -> None:
        process = self.shares[0].of(receiver)
        ledger, sender = self.ledgers[process], number >> 24
        if self.shares[0].of(sender) != process and ledger.unknown(number):
            due = self.posts[number].due_us
            ledger.heard_of(number, due_us=due, sent_us=due, at_us=at_us, window=Window.STEADY)
        ledger.delivered(number, receiver, ROOMS[ROOM_OF[receiver]])

    def hand_over(self, most: int = 1_000) -> None:
        for number, due_us, at_us, acknowledged in self.reports[:most]:
            for share, ledger in zip(self.shares, self.ledgers, strict=True):
                if not share.mine(number >> 24):
                    ledger.reported(
                        number,
                        due_us=due_us,
                        sent_us=due_us,
                        at_us=at_us,
                        acknowledged=acknowledged,
                        window=Window.STEADY,
                    )
        del self.reports[:most]

    def close(self, now_us: int) -> Tally:
        self.hand_over()
        for ledger in self.ledgers:
            ledger.settle_all(now_us)
        whole = Tally()
        for ledger in self.ledgers:
            whole += ledger.total()
        return whole


POSTS = st.lists(
    st.tuples(
        st.integers(0, PEOPLE - 1),  # who posts
        st.booleans(),  # acknowledged, or failed
        st.lists(st.integers(0, 2), min_size=PEOPLE, max_size=PEOPLE),  # how often it reaches each of the room
        st.integers(0, 3),  # how many reports are handed over afterwards
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(posts=POSTS, count=st.integers(2, 5), late=st.lists(st.integers(0, 24), max_size=5))
def test_several_ledgers_count_what_one_counts(
    posts: list[tuple[int, bool, list[int], int]], count: int, late: list[int]
) -> None:
    def play(world: World) -> tuple[Tally, Counter[Difference]]:
        sequences: Counter[int] = Counter()
        behind: list[tuple[int, int]] = []
        now = 10
        for index, (sender, acknowledged, copies, handed) in enumerate(posts):
            now += STEP_US
            number = world.post(sender, sequences[sender], now)
            sequences[sender] += 1
            heard = [(number, one) for one in MEMBERS[ROOM_OF[sender]] for _ in range(copies[one])]
            if index in late:  # these overtake: they come after all others
                behind += heard
                heard = []
            half = len(heard) // 2
            for number_, receiver in heard[:half]:
                world.deliver(number_, receiver, now)
            world.end(number, now, acknowledged=acknowledged)
            for number_, receiver in heard[half:]:
                world.deliver(number_, receiver, now)
            world.hand_over(handed)
        for number, receiver in behind:
            world.deliver(number, receiver, now)
        whole = world.close(now + STEP_US)
        return whole, Counter(each for ledger in world.ledgers for each in ledger.differences)

    alone, shared = play(World(1)), play(World(count))
    assert shared == alone


def test_a_post_that_no_process_reports_is_unexpected_or_of_a_lost_process() -> None:
    world = World(2)
    sender = 1  # of process 1; its room has 0 and 2 of process 0
    stray = post_number(sender, 0)
    ledger = world.ledgers[0]
    ledger.heard_of(stray, due_us=5, sent_us=5, at_us=6, window=Window.STEADY)
    ledger.delivered(stray, 0, ROOMS[0])
    ledger.settle(20_000_000)
    assert not ledger.total().unexpected  # it may yet be reported
    ledger.settle(60_000_000)
    assert (ledger.total().unexpected, ledger.total().lost) == (1, 0)
    assert ledger.differences == [Difference(Kind.UNEXPECTED, sender, 0, 0)]

    ledger = World(2).ledgers[0]
    ledger.process_lost = lambda client: client == sender
    ledger.heard_of(stray, due_us=5, sent_us=5, at_us=6, window=Window.STEADY)
    ledger.delivered(stray, 0, ROOMS[0])
    ledger.settle_all(10)
    assert (ledger.total().unexpected, ledger.total().unacknowledged_received) == (0, 1)


def test_reports_go_to_the_processes_with_receivers_and_come_back_as_they_were() -> None:
    scenario = Scenario(clients=4, rooms=2, spread=Spread.EVEN)
    sender = Reports(Share(0, 4, 4), scenario)
    world = World(1)
    post = world.posts[world.post(0, 7, 123)]
    room = scenario.room_of[0]
    post.room.index = room
    others = {client for client in range(4) if scenario.room_of[client] == room and client != 0}
    sender.answered(post, 456, acknowledged=True)
    sender.answered(post, 789, acknowledged=False)
    handed = sender.hand_over()
    assert set(handed) == others
    assert sender.hand_over() == {}
    receiver = Reports(Share(1, 4, 4), scenario)
    receiver.received(next(iter(handed.values())))
    assert receiver.waiting
    assert list(receiver.take(1)) == [(post.number, 123, 123, 456)]
    assert list(receiver.take(5)) == [(post.number, 123, 123, -789)]
    assert not receiver.waiting


@pytest.mark.parametrize("bad", [b"x", bytes(31), bytes(33), bytes((1 << 24) + 32)])
def test_what_is_no_report_is_refused(bad: bytes) -> None:
    with pytest.raises(ValueError, match="no reports"):
        Reports(Share(0, 2, 2), Scenario(clients=2, rooms=1)).received(bad)


def test_an_identity_stays_in_one_process_and_all_clients_are_carried_once() -> None:
    shares = [Share(index, 3, 4) for index in range(3)]
    for client in range(20):
        assert [share.mine(client) for share in shares].count(True) == 1
        assert shares[0].of(client) == shares[0].of(client % 4)
    assert not shares[0].across(1)
    split = Share(0, 3, 4, machines=("one", "one", "two"))
    assert [split.across(client) for client in (0, 1, 2)] == [False, False, True]


# Totals.

LATENCIES = st.lists(
    st.tuples(st.sampled_from(list(Metric)), st.integers(0, 700_000_000), st.integers(0, 9)), max_size=30
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(LATENCIES, max_size=4))
def test_deltas_add_up_to_what_was_counted(steps: list[list[tuple[Metric, int, int]]]) -> None:
    live, told, front = Totals(), Totals(), Totals()
    for step, samples in enumerate(steps):
        for metric, value, second in samples:
            live.statistics.distribution(Window.STEADY, metric).record(value)
            live.statistics.bin(Window.STEADY, second).delivered(value, value)
            live.statistics.seal(second)
        live.tallies.setdefault((2, step % 2), Tally()).received += len(samples)
        live.joining.identities.append(f"identity {step}")
        live.joining.failures["refused"] += step
        live.posts_sent += step
        live.differences.append(Difference(Kind.LOST, step, 0, 0))
        since = live.since(told)
        told.merge(since)
        front.merge(pickle.loads(pickle.dumps(since)))  # noqa: S301
    for found in (told, front):
        assert flat(found) == flat(live)


def flat(totals: Totals) -> tuple[object, ...]:
    statistics = totals.statistics
    return (
        {
            key: (found.buckets.tobytes(), found.max_us)
            for key, found in statistics.distributions.items()
            if found.count
        },
        {second: (row.deliveries, row.max_us, row.buckets().tobytes()) for second, row in statistics.rows.items()},
        {key: tally for key, tally in totals.tallies.items() if tally != Tally()},
        totals.joining.identities,
        +totals.joining.failures,
        totals.posts_sent,
        totals.differences,
    )


def test_merging_is_associative() -> None:
    def made(value: int) -> Statistics:
        statistics = Statistics()
        statistics.bin(Window.STEADY, value % 3).delivered(value, value)
        return statistics

    one, two = Statistics(), Statistics()
    for value in (1, 500, 70_000):
        one.merge(made(value))
    for value in (70_000, 1, 500):
        two.merge(made(value))
    assert flat(Totals(statistics=one)) == flat(Totals(statistics=two))


# The front.


class Sent:
    """What a fleet tells its processes."""

    def __init__(self, count: int) -> None:
        self.messages: list[tuple[int, ToProcess]] = []
        self.fleet = Fleet(count, lambda index, message: self.messages.append((index, message)), lead_s=1.0)

    def take(self) -> list[tuple[int, ToProcess]]:
        taken, self.messages = self.messages, []
        return taken


def fleet(count: int) -> Sent:
    return Sent(count)


def test_the_load_begins_when_all_have_joined_and_ends_when_all_have_their_answers() -> None:
    async def body() -> None:
        sent = fleet(2)
        sent.fleet.received(0, Joined(3))
        assert sent.take() == []
        sent.fleet.received(1, Joined(0))
        begun = sent.take()
        assert [index for index, _ in begun] == [0, 1]
        assert {type(message) for _, message in begun} == {Begin}
        assert begun[0][1] == begun[1][1] == Begin(sent.fleet.start_ns)
        sent.fleet.received(0, Delta(0, posts={1: b"report"}))
        assert sent.take() == [(1, Posts(b"report"))]
        sent.fleet.received(0, Answered())
        assert sent.take() == []
        sent.fleet.received(1, Answered())
        assert sent.take() == [(0, AllAnswered()), (1, AllAnswered())]
        sent.fleet.received(0, Finished())
        sent.fleet.received(1, Finished())
        await asyncio.wait_for(sent.fleet.finished(asyncio.Event()), 5)
        assert sent.fleet.lost == {}

    asyncio.run(body())


def test_nobody_waits_for_a_lost_process_and_its_counts_stay() -> None:
    async def body() -> None:
        sent = fleet(3)
        for index in range(3):
            sent.fleet.received(index, Joined(1))
        sent.take()
        sent.fleet.received(2, Delta(0, Part(stage=Stage.STEADY), Totals(posts_sent=7)))
        sent.fleet.lose(2, "killed by SIGKILL")
        assert sent.take() == [(0, Lost(2)), (1, Lost(2))]
        sent.fleet.received(2, Delta(1, None, Totals(posts_sent=99)))
        assert sent.fleet.totals.posts_sent == 7
        sent.fleet.received(0, Answered())
        sent.fleet.received(1, Answered())
        assert sent.take() == [(0, AllAnswered()), (1, AllAnswered())]
        (words,) = sent.fleet.lost_words(lambda index: f"client {index}")
        assert "process 2 was lost" in words
        assert "killed by SIGKILL" in words
        assert words.endswith("and with it client 2")

    asyncio.run(body())


def test_a_gap_in_what_a_process_tells_makes_it_lost() -> None:
    async def body() -> None:
        sent = fleet(2)
        sent.fleet.received(0, Delta(0))
        sent.fleet.received(0, Delta(2))
        assert "1 of its messages" in sent.fleet.lost[0]

    asyncio.run(body())


def test_a_process_that_dies_before_the_load_does_not_hold_it_up() -> None:
    async def body() -> None:
        sent = fleet(2)
        sent.fleet.received(0, Joined(1))
        sent.fleet.lose(1, "it ended with exit code 1")
        assert [type(message) for _, message in sent.take()] == [Lost, Begin]

    asyncio.run(body())


def test_when_nobody_joined_the_load_does_not_begin_and_the_reason_is_told() -> None:
    async def body() -> None:
        sent = fleet(2)
        sent.fleet.received(0, Joined(0))
        sent.fleet.received(1, Joined(0))
        assert sent.take() == [(0, Begin(None)), (1, Begin(None))]
        sent.fleet.received(0, Finished(None, "AwsError", ("it failed", "try again")))
        sent.fleet.received(1, Finished(None, "no such class", ("odd", "odd")))
        error = sent.fleet.why_nobody_joined()
        assert isinstance(error, AwsError)
        assert error.problem == "it failed"
        sent = fleet(1)
        sent.fleet.lose(0, "killed")
        assert isinstance(sent.fleet.why_nobody_joined(), ConnectionFailedError)

    asyncio.run(body())


def test_a_wish_to_stop_is_passed_on() -> None:
    async def body() -> None:
        sent = fleet(1)
        stop = asyncio.Event()
        stop.set()
        task = asyncio.create_task(sent.fleet.finished(stop))
        async with asyncio.timeout(10):
            while (0, Stop()) not in sent.messages:  # noqa: ASYNC110  (it looks twice a second)
                await asyncio.sleep(0.01)
        sent.fleet.received(0, Finished())
        await task

    asyncio.run(body())


def test_totals_of_nothing_are_empty() -> None:
    assert total({}) == Tally()
    assert Joining().failed == 0


@given(st.integers(1, 7), st.integers(1, 12), st.integers(0, 20))
def test_each_process_gets_the_known_identities_of_its_own_clients(count: int, identities: int, kept: int) -> None:
    known = [f"identity-{number}" for number in range(kept)]
    parts = [Share(index, count, identities).identities_of(known) for index in range(count)]
    assert sum(map(len, parts)) == min(kept, identities)
    for index, part in enumerate(parts):
        assert all(identity == known[number] for number, identity in part.items())
        assert all(Share(index, count, identities).mine(number) for number in part)
