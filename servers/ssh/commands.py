"""The command lines that are sent to a server: words that mean the same to sh, bash, csh and fish, and no more.

No text of a user, no path of one and no secret is in them: anybody on the server can read them.
"""

from collections.abc import Sequence

from servers.transport import HELPER_NAME, HELPER_TEXT, check_words

# What is left of the input is read: a command that ended before it had all of it would close its channel while
# more is sent, and OpenSSH answers that by cutting the whole connection. The builtin costs no process when
# nothing is left.
_READ_REST = "s=$?; read -r x && cat >/dev/null; exit $s"


def helper_line(words: Sequence[str], *, work_dir: str, has_input: bool) -> str:
    """Runs the installed helper with these words. Raises ValueError for what is no plain word.

    Without input it has none to read, and its end needs not be told; with input it reads all.
    """
    check_words(words)
    program = f'sh "$HOME"/.buildboard/lib/{HELPER_NAME}'
    if work_dir:
        program = f"env BUILDBOARD_HOME={work_dir} sh {work_dir}/lib/{HELPER_NAME}"
    line = " ".join([program, *words])
    return f"sh -c '{line}; {_READ_REST}'" if has_input else f"{line} </dev/null"


def install_line(*, work_dir: str) -> str:
    """Puts its input where `helper_line` looks for the helper: whole or not at all, whoever else does the same."""
    root = work_dir or '"$HOME"/.buildboard'
    part, whole = f'"$d"/lib/.{HELPER_NAME}.$$.part', f'"$d"/lib/{HELPER_NAME}'
    return (
        f'sh -c \'umask 077; d={root}; mkdir -p "$d"/lib "$d"/jobs && '
        f"{{ cat >{part} && [ $(wc -c <{part}) -eq {len(HELPER_TEXT)} ] && mv -f {part} {whole} || "
        f"{{ rm -f {part}; false; }}; }}; {_READ_REST}'"
    )
