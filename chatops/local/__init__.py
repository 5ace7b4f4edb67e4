"""The embedded AWS: control plane, gateway, and their life in the background."""
