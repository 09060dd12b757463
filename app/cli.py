"""The command `blindrate`: a table of commands, each living in the package that it serves and imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module:attribute, one line for the overview)
    "demo": ("app.demo.commands:demo", "Migrate, load the demo study, serve; prints the links."),
    "serve": ("app.commands:serve", "Serve the web application."),
    "migrate": ("app.commands:migrate", "Bring the database to the newest schema."),
    "doctor": ("app.commands:doctor", "Check the installation and say what to mend."),
    "backup": ("app.database.commands:backup", "Write the whole database to one file."),
    "restore": ("app.database.commands:restore", "Replace the database by a backup file's content."),
    "researcher": ("app.researchers.commands:researcher", "Manage researchers."),
    "questions": ("app.questions.commands:questions", "Import questions."),
    "explanations": ("app.explanations.commands:explanations", "Import explanations."),
    "study": ("app.studies.commands:study", "Create, launch, pause, close, unblind and simulate studies."),
    "export": ("app.studies.commands:export", "Write a study's ratings, trials and participants as CSV."),
    "analyze": ("app.reports.commands:analyze", "Analyse ratings and write the report."),
    "accuracy": ("app.reports.commands:accuracy", "Compare the accuracies of runs."),
    "power": ("app.reports.commands:power", "Sample size by simulation."),
    "worker": ("training.worker:worker", "Work off distillation jobs."),
    "distill": ("training.commands:distill", "Run a distillation: all stages."),
    "teacher": ("training.commands:teacher", "Run the teacher stage alone."),
    "student": ("training.commands:student", "Run the student stage alone."),
    "evaluate": ("training.commands:evaluate", "Run the evaluation stage alone."),
    "models": ("training.commands:models", "Get small models that need no model hub."),
}
TRAINING_MODULES = {"torch", "transformers", "accelerate", "peft", "gguf"}


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is called or asked for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="blindrate")
def cli() -> None:
    """Blindrate compares distillation methods by the explanations that people find good.

    \b
    Example:
      blindrate demo --port 8000
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line. Errors that a person can mend end as one line on standard error and exit status 2."""
    try:
        return cli.main(args=arguments, prog_name="blindrate", standalone_mode=True)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in TRAINING_MODULES:
            raise
        message = (
            f"this command needs the training extra ({error.name} is missing); "
            "install it with `make training` or pip install 'blindrate[training]'"
        )
        status = 2
    except Exception as error:
        status = getattr(error, "exit_code", 0)
        if not status:
            raise
        message = str(error)
    print(f"blindrate: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
