"""The processes that own the copies: small, Linux only, standard library only.

Four kinds of process, each the parent of the next:

    orchestrator --> supervisor --> spawner --> init (one per copy) --> the copy's main process, and its tree

main, supervisor  start the spawner, pass orders and reports on, run the exact sensor
spawner           forks the inits; has no threads and none of the sensor's descriptors, whatever the supervisor does
init              starts its copy's main process, reaps what ends, carries out orders
main_process      what happens between the fork and the execution of the copy's program
messages, channel what they send one another: orders go down, reports come up
process_tree      finding and ending a tree of processes, by /proc

Theory of operation
- *Who watches whom.* A socket leads from the supervisor to the orchestrator, to the spawner and to each init; no one
  else holds its other end. The kernel closes a socket when its process dies, however it dies.
- *End of file is an order.* An init that reads it from its supervisor kills its copy's tree and ends. The spawner
  ends when its inits have. A supervisor that reads it from the orchestrator or the spawner closes its sockets, waits
  for the spawner, and kills what is left.
- *Orphans.* Supervisor, spawner and inits are child subreapers (PR_SET_CHILD_SUBREAPER(2const)): a daemon that forked
  twice and called setsid is reparented to its init, so the tree of an init is exactly what its copy started. What a
  killed init leaves is reparented to the spawner and killed there, or by the supervisor if the spawner was killed as
  well. So nothing outlives a run, whichever two of these processes are killed.
- *A stopped peer.* A process that is stopped (SIGSTOP) or blocked in a system call closes nothing, so no end of file
  comes. The orchestrator therefore asks the supervisor for a Pong every second, and the supervisor asks the spawner;
  one that does not answer for too long is killed, and then the rule above applies. No send and no receive ever
  blocks.
- *The lifeline.* Supervisor, spawner and inits all hold one end of one more socket. The orchestrator waits for its
  end of file before it returns; the spawner watches it to see that the orchestrator has gone although the supervisor
  is stopped.
"""
