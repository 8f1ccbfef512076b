"""Whole boards and real sshd servers, and all that can break between them."""
