"""What a kernel image needs beside the launchers, and the command that puts it there."""
