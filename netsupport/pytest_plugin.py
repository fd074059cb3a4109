"""pytest fixtures for ports; every name begins with `netsupport_`."""
