"""The helper of a server over SSH, behind servers/transport.py. Of the board only this package speaks paramiko.

target.py: whom to connect to. dialling.py: the way there. links.py: one connection, its pins compared before any
login. keeper.py: it is kept warm, for many threads. commands.py: what is typed there. executions.py: one command
on a connection. transport.py: all of it as a Transport.
"""

from servers.ssh.executions import process_key
from servers.ssh.links import read_host_key
from servers.ssh.target import SshTarget, check_work_dir
from servers.ssh.transport import SshTransport

__all__ = ["SshTarget", "SshTransport", "check_work_dir", "process_key", "read_host_key"]
