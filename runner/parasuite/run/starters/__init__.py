"""Who owns the processes of the copies: a supervisor on Linux, the orchestrator itself elsewhere."""
