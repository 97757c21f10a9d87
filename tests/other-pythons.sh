#!/usr/bin/env bash
# Unit tests, and slow ones in which the version can make a difference, on every supported Python that this machine has,
# but the one of .venv. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
main=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

find_python() {  # prints an interpreter of version $1, or nothing
  local candidate
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    if "$candidate" -c 'import venv' 2>/dev/null; then echo "$candidate"; return; fi
  done
}

for version in 3.10 3.11 3.12 3.13; do
  [ "$version" = "$main" ] && continue
  python=$(find_python "$version")
  if [ -z "$python" ]; then echo "Python $version is not on this machine: left out."; continue; fi
  echo "== Python $version"
  environment=.venv-$version
  if [ ! -e "$environment/.ready" ] || [ remote_kernel_provider/pyproject.toml -nt "$environment/.ready" ]; then
    "$python" -m venv --without-pip "$environment"
    export PIP_PYTHON=$environment/bin/python UV_PYTHON=$environment/bin/python
    ${PIP:-.venv/bin/pip} install --quiet \
      -e "./remote_kernel_provider[test]" -e "./launchers[python]" matplotlib
    touch "$environment/.ready"
  fi
  # On the newest the contract, too, and on both ends a kernel's life; two hundred kernels more say nothing of a Python.
  chosen="not slow" named=""
  life="prints or interrupt or restart or adoption"
  case $version in
    3.10) chosen="not slow or pythons" named="not (TestLocal or test_python_launcher) or $life" ;;
    3.13) chosen="not slow or pythons" named="not test_python_launcher or $life" ;;
  esac
  "$environment/bin/python" -m pytest -q "$@" -m "$chosen" -k "$named" \
    --deselect remote_kernel_provider/tests/test_local_contract.py::TestLocal::test_a_crowd_leaves_nothing_behind \
    remote_kernel_provider/tests launchers/tests
done
