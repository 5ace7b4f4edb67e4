"""The border to MQTT: the only package that imports awscrt."""
