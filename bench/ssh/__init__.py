"""Benchmarks over a real sshd on loopback, whose account has /bin/sh as its shell; each beside `ssh` itself."""
