"""The lifecycle of an environment: desired resources, plan, execution."""
