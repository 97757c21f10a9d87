"""Creates the pod of a kernel of this spec, from the template beside this file: by hand, or for a foreign host.

Hosts of ours need no process for it and do not run this.
"""

import sys

from kubernetes_kernel_provider.launch_script import main

if __name__ == "__main__":
    sys.exit(main(__file__))
