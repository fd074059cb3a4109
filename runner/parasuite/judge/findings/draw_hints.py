"""What the helper that drew a port leaves open: a hint for a port that was drawn, released and lost.

"Anyone can take it in between" is not true of every helper. What these two leave open was measured on Linux 6.18, in
a network with 32 ephemeral ports, with ephemeral-port-reserve 1.1.4 and port-for 1.1.1:

- ephemeral_port_reserve.reserve() leaves a connection of 127.0.0.1 in TIME_WAIT. For 61 s neither a bind of port 0 on
  127.0.0.1 or 0.0.0.0 nor an outgoing connection was given the port; a bind of port 0 on ::1 or 127.0.0.2 was. A bind
  of the port itself succeeded with SO_REUSEADDR and was refused without.
- port_for.select_random() draws from 19,156 ports, none of them in the ephemeral range, and tests that the port is
  unused. Nothing keeps it.
"""

from __future__ import annotations

from parasuite.model.party import Caller

EPHEMERAL_PORT_RESERVE_HINT = (
    "ephemeral-port-reserve leaves the port in TIME_WAIT: for about 60 s the kernel does not assign it on that "
    "address. But a process that binds exactly this port with SO_REUSEADDR gets it, a server without SO_REUSEADDR is "
    "refused, and on another address (::1) the kernel may assign it. Let the server bind port 0 itself, or reserve "
    "the port with netsupport.reserve_port(), which covers every address until you release it"
)
PORT_FOR_HINT = (
    "port-for picks a port outside the ephemeral range, which the kernel never assigns, but nothing reserves it: a "
    "process that picks the same one, or has it as a fixed port, can take it before your server does. Let the server "
    "bind port 0 itself, or take the port from netsupport.reserve_port(child_reuses_address=False), which gives it "
    "to no other process until you release it"
)
_HINTS = (("ephemeral_port_reserve.py", EPHEMERAL_PORT_RESERVE_HINT), ("port_for/", PORT_FOR_HINT))
"""What a frame's file ends with (a module) or has as a folder (a package), and the hint."""


def hint_for_draw(caller: Caller) -> str | None:
    """The hint for a port that *caller* drew; None if neither its library nor its frames, the innermost first, name a
    helper whose ports need one of their own.
    """
    for file in (caller.library, *(frame.file for frame in caller.frames)):
        path = "/" + file.replace("\\", "/")
        for name, hint in _HINTS:
            if f"/{name}" in path if name.endswith("/") else path.endswith(f"/{name}"):
                return hint
    return None
