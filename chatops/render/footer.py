"""How a tail stands, in one line."""

from chatops.chat.text import safe_text
from chatops.chat.traffic import Traffic
from chatops.render.wrapping import cut

_TOP_ROOMS = 3


def footer_line(traffic: Traffic, at: float, width: int) -> str:
    """Messages a second now, all messages, senders, the busiest rooms, and what was not shown."""
    rate = traffic.rate.per_s(at, traffic.since)
    parts = [f"{rate:,.1f} messages/s", f"{traffic.messages:,} in all", f"{len(traffic.senders):,} senders"]
    if top := traffic.busiest(at, _TOP_ROOMS):
        parts.append(", ".join(f"{safe_text(topic)} {per_s:,.1f}/s" for topic, per_s in top))
    if traffic.missed:
        parts.append(f"{traffic.missed:,} not shown")
    return cut(" · ".join(parts), width)


def summary_line(traffic: Traffic, at: float) -> str:
    """The whole, at the end."""
    passed = max(at - traffic.since, 0.001)
    missed = f", {traffic.missed:,} not shown" if traffic.missed else ""
    return (
        f"{traffic.messages:,} messages in {passed:.1f} s ({traffic.messages / passed:,.1f}/s) from "
        f"{len(traffic.senders):,} senders in {len(traffic.rooms):,} rooms{missed}"
    )
