"""The gateway alone in a process, for `gateway.py`: prints its port, and with `--checks` writes guests to sign as."""

import argparse
import asyncio
import gc
import json
import signal

import uvloop
from gateway_signing import Guest

from chatops.chat.iam import parse_policy
from chatops.chat.policy import guest_policy, trust_policy
from chatops.local.authorizer import Authorizer, OpenAuthorizer, SigV4Authorizer
from chatops.local.broker import Broker
from chatops.local.credentials import CredentialStore, Principal, PrincipalKind
from chatops.local.gateway import Gateway
from chatops.local.limits import Limits
from chatops.local.roles import Role, RoleCatalogue

ACCOUNT = "123456789012"
REGION = "us-east-1"
POOL = f"{REGION}:00000000-0000-0000-0000-000000000001"


def checking(guests_path: str, count: int) -> Authorizer:
    """An authorizer with a guest role, and `count` guests who have it."""
    arn = f"arn:aws:iam::{ACCOUNT}:role/guests"
    roles = RoleCatalogue()
    policy = parse_policy(guest_policy(region=REGION, account=ACCOUNT, prefix="/chat/"))
    roles.replace({arn: Role(arn, parse_policy(trust_policy(POOL)), (policy,))})
    store = CredentialStore()
    guests = []
    for index in range(count):
        identity = f"{REGION}:00000000-0000-0000-0001-{index:012}"
        principal = Principal(PrincipalKind.GUEST, ACCOUNT, REGION, identity, POOL, arn)
        issued = store.issue_guest(principal)
        token = issued.session_token or ""
        guests.append(Guest(identity, issued.access_key_id, issued.secret_access_key, token, REGION))
    Guest.dump(guests_path, guests)
    return SigV4Authorizer(store, roles)


async def serve(options: argparse.Namespace) -> None:
    authorizer = checking(options.guests, options.clients) if options.guests else OpenAuthorizer(ACCOUNT)
    limits = Limits.none()
    gateway = Gateway(Broker(authorizer, limits), authorizer, limits)
    await gateway.start()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    gc.collect()
    gc.freeze()
    print(json.dumps({"port": gateway.port}), flush=True)
    await stopping.wait()
    await gateway.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guests", help="check signatures and policy, and write credentials here")
    parser.add_argument("--clients", type=int, default=500)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
