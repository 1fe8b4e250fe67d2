"""``python -m aidocell`` is the ``aidocell`` command."""

from aidocell.cli import run

run()
