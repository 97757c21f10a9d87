#!/bin/bash
# Starts the kernel of a container, whichever way its host asks for it:
#
#   bootstrap-kernel.sh COMMAND…   runs that command; the host has put a connection file into the container
#   bootstrap-kernel.sh            runs the launcher of KERNEL_LANGUAGE with what hosts of the gateway family say in the
#                                  environment: KERNEL_ID, RESPONSE_ADDRESS, PUBLIC_KEY …, or EG_RESPONSE_ADDRESS …

complain() {
  echo "bootstrap-kernel.sh: $1" >&2
  exit 2
}

# Be what the kernel must not be: the container's first process, which inherits orphans and takes no signal by default.
# Under a host that brings an init, as ours does, there is nothing left here but the kernel.
run() {
  if [ "$$" -ne 1 ] || [ -t 0 ]; then
    exec "$@"
  fi
  set -m  # else the kernel would start with interrupts ignored
  "$@" <&0 &
  kernel=$!
  for signal in HUP INT QUIT TERM USR1 USR2; do
    # shellcheck disable=SC2064  # the kernel's id is known now
    trap "kill -$signal $kernel 2>/dev/null" "$signal"
  done
  while :; do
    wait "$kernel"
    status=$?
    kill -0 "$kernel" 2>/dev/null || exit "$status"  # else a signal for the kernel ended the waiting
  done
}

# Take the old spelling of a variable where the new one is not set.
for name in KERNEL_ID KERNEL_LANGUAGE KERNEL_CLASS_NAME KERNEL_SPARK_CONTEXT_INIT_MODE KERNEL_LAUNCHERS_DIR \
  PORT_RANGE RESPONSE_ADDRESS PUBLIC_KEY TRANSPORT_ENCRYPTION; do
  old=EG_$name
  printf -v "$name" %s "${!name:-${!old}}"
done

# The user may have any id, the root file system be one that nobody can write to, and hosts of the gateway family pass on
# their own HOME and TMPDIR, which mean nothing here.
if [ ! -w "${HOME:-/}" ]; then
  HOME=$(unset HOME; echo ~)  # what this system says of the user
  if [ ! -w "$HOME" ]; then
    HOME=$(mktemp -d 2>/dev/null || mktemp -d -p /tmp) \
      || complain "neither HOME nor /tmp can be written to; mount something at one of them"
  fi
  export HOME
fi

if [ $# -gt 0 ]; then
  run "$@"
fi

for name in KERNEL_LANGUAGE KERNEL_ID RESPONSE_ADDRESS PUBLIC_KEY; do
  [ -n "${!name}" ] || complain "$name is not set; give the kernel's command, or have a host start this image"
done
launchers=${KERNEL_LAUNCHERS_DIR:-$(dirname "$(readlink -f "$0")")/kernel-launchers}
case ${KERNEL_LANGUAGE,,} in
  python) launcher=$launchers/python/scripts/launch_ipykernel.py ;;
  *) complain "there is no launcher for KERNEL_LANGUAGE '$KERNEL_LANGUAGE', only for python; give the kernel's command" ;;
esac
[ -f "$launcher" ] || complain "$launcher is not there; run 'jupyter image-bootstrap install' when the image is built"

arguments=(
  --kernel-id "$KERNEL_ID"
  --port-range "${PORT_RANGE:-0..0}"
  --response-address "$RESPONSE_ADDRESS"
  --public-key "$PUBLIC_KEY"
  --spark-context-initialization-mode "${KERNEL_SPARK_CONTEXT_INIT_MODE:-none}"
  ${KERNEL_CLASS_NAME:+--kernel-class-name "$KERNEL_CLASS_NAME"}
  ${TRANSPORT_ENCRYPTION:+--transport-encryption "$TRANSPORT_ENCRYPTION"}
)
unset JPY_PARENT_PID  # the kernel would end as soon as the process that it names is not its parent
if [ -x "$launcher" ]; then
  run "$launcher" "${arguments[@]}"  # ours, which names the Python that it was installed for
else
  run python "$launcher" "${arguments[@]}"
fi
