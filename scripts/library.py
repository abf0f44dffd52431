"""Makes analyzer/library/general.json anew, from runs that are known to be good: those that scripts/corpus has kept, the
variants of tests/pipelines that scripts/precision.py has recorded (`--out`), and the clean twins that scripts/zoo.py has
(`--out`). What `traincheck library` prints says how each claim fared, and which clean runs would raise an alarm if their
program had not been part of it.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

LIBRARY = pathlib.Path(__file__).resolve().parent.parent / "analyzer" / "library" / "general.json"


def runs(folder):
    """The clean runs in a folder of runs of one program, by name; of the corpus those that are complete."""
    for entry in sorted(folder.iterdir()):
        run = entry if (entry / "run.json").exists() else entry / "run"
        complete = (entry / "done.json").exists() or not (entry / "output.txt").exists() or (entry / "out").exists()
        if any(run.glob("*.tcs")) and complete and not entry.name.startswith("bug-"):
            yield entry.name, run.resolve()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of traincheck")
    parser.add_argument("--output", type=pathlib.Path, default=LIBRARY, help="the library (%(default)s)")
    parser.add_argument("--budget", default="0.02", help="share of runs that may have a false alarm (%(default)s)")
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="DIR", help="a folder for each program in it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="traincheck-library-") as scratch:
        corpus, count = pathlib.Path(scratch), 0
        for folder in args.folders:
            for program in sorted(path for path in folder.iterdir() if path.is_dir()):
                for name, run in runs(program):
                    (corpus / program.name).mkdir(exist_ok=True)
                    (corpus / program.name / name).symlink_to(run)
                    count += 1
        print(f"{count} runs of {len(list(corpus.iterdir()))} programs", file=sys.stderr)
        command = [args.bin / "traincheck", "library", corpus, "-o", args.output, "--alarm-budget", args.budget]
        return subprocess.run([str(part) for part in command]).returncode


if __name__ == "__main__":
    sys.exit(main())
