"""Runs ``aidocell`` commands and job scripts in children of one process that has imported it.

A child is a real process that ends by itself or by a real signal, and costs no import. Requests
come as lines of JSON on stdin and are answered by one line each on stdout; see `faults.py`, which
starts this under the preloaded library of `failwrite.c`.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import mmap
import os
import runpy
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

MOST_SECONDS_WITHOUT_MEMORY = 90


class Plan(ctypes.Structure):
    """``struct plan`` of the library, in memory that parent and child share."""

    _fields_ = [(name, ctypes.c_long) for name in ("seen", "first", "last", "error", "signal")]


def serve() -> None:
    plan = Plan.from_buffer(mmap.mmap(-1, mmap.PAGESIZE))
    for line in sys.stdin:
        request = json.loads(line)
        for name in request.get("modules", ()):
            with contextlib.suppress(Exception):  # some can be imported by their own package alone
                importlib.import_module(name)
        for name in ("first", "last", "error", "signal"):
            setattr(plan, name, request[name])
        plan.seen = 0
        gc.collect()
        gc.freeze()  # a collection in the child would copy every page
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            end(work, request, plan)
        if request["kill_with"]:
            wait_for(request["kill_after"])
            os.kill(child, request["kill_with"])
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answer = {"status": status, "changes": plan.seen, "seconds": time.monotonic() - began}
        print(json.dumps(answer), flush=True)


def wait_for(event: float | str) -> None:
    """Wait some seconds, or until a file is there."""
    if isinstance(event, float):
        time.sleep(event)
    else:
        while not Path(event).exists():
            time.sleep(0.01)


def end(work: Callable, *arguments: object) -> NoReturn:
    """End the process as Python does, without the clean-up of what the parent has imported."""
    status = 0
    try:
        work(*arguments)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def work(request: dict, plan: Plan) -> None:
    output = os.open(request["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(request["folder"])
    tempfile.tempdir = request["temporary"]
    if request["memory"]:
        limit_memory(request["memory"])
        # Python waits for ever for a thread of its own that had no memory to begin with
        signal.alarm(MOST_SECONDS_WITHOUT_MEMORY)
    ctypes.CDLL(None).faults_arm(os.fsencode(request["folder"]), ctypes.byref(plan))
    try:
        if request["script"]:
            runpy.run_path(request["script"], run_name="__main__")
        else:
            from aidocell.cli import main

            sys.argv = ["aidocell", *request["arguments"]]
            main()
    finally:
        if request["report_modules"]:
            Path(request["report_modules"]).write_text(json.dumps(sorted(sys.modules)))


def limit_memory(further: int) -> None:
    """Let this process take `further` bytes more of address space than it has."""
    import resource

    now = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (now + further, now + further))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the shell ignores it
    import torch

    torch.set_num_threads(1)
    serve()
