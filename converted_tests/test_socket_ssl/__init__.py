"""Simple TLS over a plain socket: what Python 2's socket.ssl() did, by the means of today."""
