"""The load test: plan, swarm, events, statistics, report."""
