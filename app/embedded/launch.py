"""Becomes another program that dies with its parent: runs as a script, before every child.

    python -I -S launch.py PARENT_PID DEATH_SIGNAL UID:GID|- DIRECTORY|- HELD|- PROGRAM [ARGUMENT ...]

A small program of its own instead of `preexec_fn`: nothing of ours runs between fork and exec in a process that may
have threads. Standard library only, since it runs isolated from the installed packages.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
HELD = 9  # the descriptor of the held directory; above those that a starting program opens first


def main(arguments: list[str]) -> None:
    """Enter the directory, hold the other one, take the account, tie the life to the parent's, become the program."""
    parent, death_signal, account, directory, held, *command = arguments
    # Before the account changes: the new one may be unable to reach these directories by their paths.
    if directory != "-":
        os.chdir(directory)
    if held != "-":
        os.dup2(os.open(held, os.O_PATH | os.O_DIRECTORY), HELD, inheritable=True)
    if account != "-":
        uid, gid = (int(part) for part in account.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After setuid, which clears the setting (prctl(2)); exec keeps it.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != int(parent):
        sys.exit("the parent is already gone")  # it died before the setting took hold
    # Python ignores SIGPIPE and SIGXFSZ, a background shell SIGINT; exec would hand that on.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
