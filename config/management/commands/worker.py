from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.startup import verify_startup
from config.worker.liveness import Liveness
from config.worker.loop import Worker
from config.worker.tasks import get_task_sources


class Command(BaseCommand):
    help = (
        "Run due tasks: token refreshes, health checks, webhooks, e-mails and revocations. Run as many"
        " workers as you like, on any machines. After SIGTERM a worker starts nothing new and gives"
        " running tasks 15 seconds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency", type=int, default=16, help="threads (default: %(default)s)"
        )
        parser.add_argument(
            "--alive-file",
            type=Path,
            metavar="PATH",
            help="a file whose time of change is the worker's last sign of life",
        )
        parser.add_argument("--once", action="store_true", help="stop as soon as nothing is due")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["concurrency"] <= 256:
            raise CommandError("--concurrency must be from 1 to 256.", returncode=2)
        verify_startup()
        worker = Worker(
            get_task_sources(),
            concurrency=options["concurrency"],
            liveness=Liveness(options["alive_file"]),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        if worker.run(once=options["once"]):
            # Hanging threads would keep the interpreter alive. Their leases expire, and another
            # worker retries.
            sys.stderr.flush()
            os._exit(1)
