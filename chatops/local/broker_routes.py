"""Who receives a topic: subscriptions, grouped by the bytes they share, and remembered topic by topic.

A route already has what would otherwise be asked for every delivery: which session overlapping subscriptions
lead to, and whether its policy lets it receive the topic. Routes are forgotten when a subscription to the topic, any
subscription with a wildcard, or the policies change.
"""

from collections.abc import Callable

from chatops.local.packets import Codec
from chatops.local.sessions import Session, Subscription
from chatops.local.topics import FilterIndex

_MOST_ROUTES = 4096


class Receivers:
    """Sessions that get the same bytes of a message."""

    __slots__ = ("codec", "no_local", "qos", "retain_as_published", "sessions", "subscription_ids")

    def __init__(
        self, codec: Codec, qos: int, subscription_ids: tuple[int, ...], *, no_local: bool, retain_as_published: bool
    ) -> None:
        self.codec = codec
        self.qos = qos
        self.subscription_ids = subscription_ids
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.sessions: list[Session] = []


class Route:
    """Where a topic's messages go.

    Attributes:
        groups: receivers by variant.
        shared: for each shared subscription its members, of whom one gets the message.
        denied: how many subscribers their policy keeps from receiving it.
    """

    __slots__ = ("denied", "generation", "groups", "shared")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.groups: list[Receivers] = []
        self.shared: list[list[Subscription]] = []
        self.denied = 0


class Routes:
    """The subscriptions of all sessions, and the routes they make.

    Args:
        may_receive: asks the policy; its answers hold until the generation changes.
        generation: what policy generation it is.
    """

    def __init__(self, may_receive: Callable[[Session, str], bool], generation: Callable[[], int]) -> None:
        self._index: FilterIndex[tuple[str, str], Subscription] = FilterIndex()
        self._routes: dict[str, Route] = {}
        self._may_receive = may_receive
        self._generation = generation
        self.reserved = 0

    def __len__(self) -> int:
        return len(self._index)

    def add(self, subscription: Subscription) -> None:
        """File a subscription, in place of the session's former one with the same filter."""
        session = subscription.session
        text = subscription.filter.text
        if text not in session.subscriptions:
            self.reserved += subscription.filter.pattern.startswith("$")
        session.subscriptions[text] = subscription
        key = (session.client_id, subscription.filter.group)
        self._index.add(subscription.filter.pattern, key, subscription)
        self._forget(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Take a subscription out."""
        session = subscription.session
        del session.subscriptions[subscription.filter.text]
        self.reserved -= subscription.filter.pattern.startswith("$")
        self._index.remove(subscription.filter.pattern, (session.client_id, subscription.filter.group))
        self._forget(subscription)

    def refresh(self, session: Session) -> None:
        """Forget the routes that lead to `session`: its protocol version or principal may have changed."""
        for subscription in session.subscriptions.values():
            self._forget(subscription)

    def find(self, topic: str) -> Route:
        """Look up the route of `topic`."""
        route = self._routes.get(topic)
        if route is None or route.generation != self._generation():
            route = self._build(topic)
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            self._routes[topic] = route
        return route

    def _forget(self, subscription: Subscription) -> None:
        if subscription.filter.exact:
            self._routes.pop(subscription.filter.pattern, None)
        else:
            self._routes.clear()

    def _build(self, topic: str) -> Route:
        route = Route(self._generation())
        own: dict[Session, list[Subscription]] = {}
        shared: dict[tuple[str, str], list[Subscription]] = {}
        allowed: dict[Session, bool] = {}
        for subscription in self._index.match(topic):
            session = subscription.session
            if session not in allowed:
                allowed[session] = self._may_receive(session, topic)
                route.denied += not allowed[session]
            if not allowed[session]:
                continue
            if subscription.filter.group:
                key = (subscription.filter.group, subscription.filter.pattern)
                shared.setdefault(key, []).append(subscription)
            else:
                own.setdefault(session, []).append(subscription)
        groups: dict[tuple[int, int, tuple[int, ...], bool, bool], Receivers] = {}
        for session, subscriptions in own.items():
            qos = max(subscription.qos for subscription in subscriptions)
            ids = tuple(sorted({s.identifier for s in subscriptions if s.identifier}))
            no_local = all(subscription.no_local for subscription in subscriptions)
            as_published = any(subscription.retain_as_published for subscription in subscriptions)
            variant = (session.codec.version, qos, ids, no_local, as_published)
            group = groups.get(variant)
            if group is None:
                group = groups[variant] = Receivers(
                    session.codec, qos, ids, no_local=no_local, retain_as_published=as_published
                )
            group.sessions.append(session)
        route.groups = list(groups.values())
        route.shared = list(shared.values())
        return route
