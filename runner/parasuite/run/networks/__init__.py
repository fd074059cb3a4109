"""Networks that parasuite makes, for the run (`--network private`) or for each copy (`each`). Linux only.

Theory of operation
- *A process enters, and all that it starts is inside.* A network namespace is inherited by fork and exec, and a
  socket belongs for good to the network that its process was in when it was made. So the orchestrator enters before
  it starts anything, and all of parasuite works as ever: the kernel's tables, which it reads, are those of the
  network that it is in. With `each`, the init of a copy enters; its main process then opens what shows the copy's
  network to the supervisor (sensors/seccomp/handover.py).
- *Root* needs nothing else. Anybody else needs a user namespace around the network, in which it has the capabilities
  to configure that network; they end with the next exec. The only user and the only group that it knows are the
  caller's own, under their own numbers.
- *No step may leave a process half inside.* A child goes through all of them first. If one is refused, the child
  ends, and its parent is where it was.
- *As outside.* The new network has only the loopback device, which also gets this host's other addresses: the host's
  name and its own addresses mean this host there, too, and getaddrinfo(3) with AI_ADDRCONFIG finds what it found
  outside. Multicast is sent and received on `lo`. Kernel settings are copied if they belong to a network.

rtnetlink     configures devices, addresses and routes
surroundings  what a new network takes over: a NetworkPlan
namespace     enters a new network
refusals      why that is refused, and the cure
"""
