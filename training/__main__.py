"""`python -m training COMMAND`, so that `accelerate launch -m training student CONFIG.yaml` trains with several processes."""

from __future__ import annotations

import sys

import click

from training.commands import distill, evaluate, models, student, teacher

cli = click.Group("training", commands={c.name or "": c for c in (distill, teacher, student, evaluate, models)})

if __name__ == "__main__":
    try:
        cli.main(prog_name="python -m training")
    except Exception as error:
        if not (status := getattr(error, "exit_code", 0)):
            raise
        print(f"blindrate: {error}", file=sys.stderr)
        sys.exit(status)
