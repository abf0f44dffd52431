"""What the scripts share that run the `traincheck` command over recorded runs and print a table."""

import json
import pathlib
import subprocess

RANKS = pathlib.Path(__file__).resolve().parent / "ranks.py"


class Failed(Exception):
    """Something that must work did not."""


def spread(found, most):
    """So many of these, the first and the last among them; all of them without a number."""
    if most is None or most >= len(found):
        return found
    return [found[round(n * (len(found) - 1) / max(most - 1, 1))] for n in range(most)]


def launcher(ranks):
    """What stands between the interpreter and the script of a job of so many processes."""
    return [] if ranks == 1 else [RANKS, ranks]


def last_line(log):
    """What a job said of its end, in one line."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if "terminate" in line or "Error" in line]
    return lines[0].strip() if lines else "it did not say why"


def infer(folder_of_command, references, output):
    """Learns from runs; returns what the command prints."""
    command = [folder_of_command / "traincheck", "infer", *references, "-o", output]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"infer ended with exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


def check(folder_of_command, run, invariants, report, *options):
    """Checks a run, by the library alone where there are no `invariants`, and keeps the report; returns the exit code, the
    report, and the findings in it that are alarms."""
    command = [folder_of_command / "traincheck", "check", run, "--format", "json"]
    command += [*([] if invariants is None else ["-i", invariants]), *options]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(done.stdout)
    try:
        said = json.loads(done.stdout)
    except ValueError as error:
        raise Failed(f"check of {run} ended with exit code {done.returncode}: {done.stderr.strip()}") from error
    return done.returncode, said, [finding for finding in said["findings"] if finding["level"] == "alarm"]


def print_table(rows):
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(rows[0]))]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())
