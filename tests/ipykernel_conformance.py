"""Jupyter's conformance suite for kernels, with ipykernel's samples, on the kernel that TESTED_KERNEL names.

A program of its own, run by clients.py: the suite starts its kernel in this process's environment.
"""

import os
import unittest

import jupyter_kernel_test

PATIENCE = 10.0
"""Seconds for each message of a cell; the suite gives it 0.1 s, which a busy machine does not always keep."""


class IPyKernelTests(jupyter_kernel_test.KernelTests):
    kernel_name = os.environ.get("TESTED_KERNEL", "python3")
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = [{"text": "zi", "matches": {"zip"}}]
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n"]
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2"]
    invalid_code_samples = ["import = 7q"]
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result = [
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
    ]
    code_display_data = [
        {"code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))", "mime": "text/html"},
        {"code": "from IPython.display import Math, display; display(Math('\\frac{1}{2}'))", "mime": "text/latex"},
    ]
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"

    def execute_helper(self, *arguments, **options):
        channel = self.kc.iopub_channel
        get = channel.get_msg
        channel.get_msg = lambda timeout: get(timeout=PATIENCE)
        try:
            return super().execute_helper(*arguments, **options)
        finally:
            channel.get_msg = get


if __name__ == "__main__":
    unittest.main()
