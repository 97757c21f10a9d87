"""Sending a signal to a kernel's own process, by a command in its container."""

from __future__ import annotations

# In a pod whose containers share their processes, `kill 1` would reach the pause process. A container's first process
# has its parent outside of the pod, as have commands like this one; it is the oldest of those that see this container's
# files. Only what a shell itself can do: an image need not have more.
_SCRIPT = """
oldest=
for folder in /proc/[0-9]*; do
  pid=${folder#/proc/}
  if [ "$pid" = $$ ] || ! [ "$folder/ns/mnt" -ef /proc/self/ns/mnt ]; then continue; fi
  parent=
  while read -r name value; do
    if [ "$name" = PPid: ]; then parent=$value; break; fi
  done <"$folder/status"
  if [ "$parent" != 0 ]; then continue; fi
  if [ -z "$oldest" ] || [ "$pid" -lt "$oldest" ]; then oldest=$pid; fi
done
[ -n "$oldest" ] && kill -"$1" "$oldest"
"""


def signalling_command(signum: int) -> list[str]:
    """Return the command that sends a signal to the first process of the container that it runs in."""
    return ["sh", "-c", _SCRIPT, "sh", str(int(signum))]
