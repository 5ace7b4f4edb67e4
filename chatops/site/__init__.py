"""The guests' page: building it for an environment, serving and publishing it. Its sources are in `web/`."""
