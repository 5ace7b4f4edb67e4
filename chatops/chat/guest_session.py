"""A guest's session as IAM sees it: which ARNs and condition keys the operations of MQTT are judged with.

The local gateway and `doctor --offline` both decide with this, so that they cannot disagree.
"""

from collections.abc import Iterable, Sequence

from chatops.chat.iam import Context, Decision, Policy, evaluate

CONNECT_ATTRIBUTES = "iot:ConnectAttributes"


class GuestSession:
    """The session of an unauthenticated identity.

    Args:
        region: where the gateway is.
        account: the account that owns it.
        identity_id: Cognito's identity id; None leaves the policy variable for it without a value.
        pool_id: the identity pool, likewise.
        partition: `aws`, `aws-cn` or `aws-us-gov`.
    """

    __slots__ = ("_arn", "_context")

    def __init__(
        self, *, region: str, account: str, identity_id: str | None, pool_id: str | None, partition: str = "aws"
    ) -> None:
        self._arn = f"arn:{partition}:iot:{region}:{account}:"
        context: dict[str, str | tuple[str, ...]] = {
            "aws:PrincipalType": "AssumedRole",
            "aws:PrincipalAccount": account,
            "aws:RequestedRegion": region,
            "cognito-identity.amazonaws.com:amr": ("unauthenticated",),
        }
        if identity_id is not None:
            context["cognito-identity.amazonaws.com:sub"] = identity_id
        if pool_id is not None:
            context["cognito-identity.amazonaws.com:aud"] = pool_id
        self._context: Context = context

    def connect(
        self, policies: Iterable[Policy], client_id: str, *, persistent: bool = False, will: bool = False
    ) -> Decision:
        """Judge iot:Connect.

        Persistent sessions and wills are granted only by a statement that speaks of iot:ConnectAttributes; a
        statement that does not grants the plain connection alone (aws-facts section 3).
        """
        resource = f"{self._arn}client/{client_id}"
        attributes = ("PersistentConnect",) * persistent + ("LastWill",) * will
        if not attributes:
            return evaluate(policies, action="iot:Connect", resource=resource, context=self._context)
        return evaluate(
            policies,
            action="iot:Connect",
            resource=resource,
            context={**self._context, CONNECT_ATTRIBUTES: attributes},
            must_test=(CONNECT_ATTRIBUTES,),
        )

    def publish(self, policies: Sequence[Policy], topic: str, *, retain: bool = False) -> Decision:
        """Judge iot:Publish and, for a retained message, iot:RetainPublish as well: both must allow."""
        resource = f"{self._arn}topic/{topic}"
        decision = evaluate(policies, action="iot:Publish", resource=resource, context=self._context)
        if retain and decision is Decision.ALLOW:
            decision = evaluate(policies, action="iot:RetainPublish", resource=resource, context=self._context)
        return decision

    def subscribe(self, policies: Iterable[Policy], topic_filter: str) -> Decision:
        """Judge iot:Subscribe on the filter as it was sent.

        A shared subscription is judged whole, `topicfilter/$share/<group>/<filter>`: the policies of AWS's own
        samples for shared subscriptions allow `topicfilter/$share/*/test/topic` beside `topicfilter/test/topic`.
        """
        resource = f"{self._arn}topicfilter/{topic_filter}"
        return evaluate(policies, action="iot:Subscribe", resource=resource, context=self._context)

    def receive(self, policies: Iterable[Policy], topic: str) -> Decision:
        """Judge iot:Receive on the topic that a message was published to."""
        resource = f"{self._arn}topic/{topic}"
        return evaluate(policies, action="iot:Receive", resource=resource, context=self._context)
