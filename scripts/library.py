"""Makes analyzer/library/general.json anew, from runs that are known to be good: those that scripts/corpus has kept, the
variants of tests/pipelines that scripts/precision.py has recorded (`--out`), and the clean twins that scripts/zoo.py has
(`--out`). What `traincheck library` prints says how each claim fared, and which clean runs would raise an alarm if their
program had not been part of it.

Of each program the library says by whose loop it trains, and with which versions: those of the requirements that its environment
is made of.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "analyzer" / "library" / "general.json"
CORPUS = ROOT / "tests" / "corpus"
# Packages that train with the loop of another, the first that fits counts: what their programs do alike is a matter of that loop.
LOOPS = {"lightning": "lightning", "transformers": "hf_trainer", "sentence-transformers": "hf_trainer", "gymnasium": "reinforcement"}
# The other packages each have a loop of their own; and what is no package's is written out in plain PyTorch,
OWN, PLAIN = "own_loop", "plain"
# but for these of tests/pipelines.
PACKAGES = {"hf_trainer": ["transformers", "accelerate"]}
PIPELINES = ROOT / "tests" / "environments" / "py311-torch2.9.txt"


def runs(folder):
    """The clean runs in a folder of runs of one program, by name; of the corpus those that are complete."""
    for entry in sorted(folder.iterdir()):
        run = entry if (entry / "run.json").exists() else entry / "run"
        complete = (entry / "done.json").exists() or not (entry / "output.txt").exists() or (entry / "out").exists()
        if any(run.glob("*.tcs")) and complete and not entry.name.startswith("bug-"):
            yield entry.name, run.resolve()


def versions(requirements):
    """By package, what an environment has."""
    lines = requirements.read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def origin(name, table, run):
    """What a program is, as `traincheck library` reads it of program.json: by its table in programs.toml, if there is one."""
    packages, requirements = PACKAGES.get(name, []), PIPELINES
    if table is not None:
        packages, requirements = table["packages"], CORPUS / f"requirements-{table['group']}.txt"
    by_itself = OWN if set(packages) - {"torch"} else PLAIN
    kind = next((LOOPS[package] for package in LOOPS if package in packages), by_itself)
    found = versions(requirements)
    torch = json.loads((run / "run.json").read_text())["torch"]
    return {"kind": kind, "packages": {package: found[package] for package in packages} | {"torch": torch}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of traincheck")
    parser.add_argument("--output", type=pathlib.Path, default=LIBRARY, help="the library (%(default)s)")
    parser.add_argument("--budget", default="0.02", help="share of runs that may have a false alarm (%(default)s)")
    parser.add_argument(
        "--add-ranks-to", type=pathlib.Path, metavar="LIBRARY",
        help="take this library and add only claims over ranks: DIR has programs of several ranks",
    )
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="DIR", help="a folder for each program in it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="traincheck-library-") as scratch:
        corpus, count = pathlib.Path(scratch), 0
        table = tomllib.loads((CORPUS / "programs.toml").read_text())
        for folder in args.folders:
            for program in sorted(path for path in folder.iterdir() if path.is_dir()):
                for name, run in runs(program):
                    (corpus / program.name).mkdir(exist_ok=True)
                    (corpus / program.name / name).symlink_to(run)
                    about = corpus / program.name / "program.json"
                    if not about.exists():
                        about.write_text(json.dumps(origin(program.name, table.get(program.name), run)) + "\n")
                    count += 1
        print(f"{count} runs of {len(list(corpus.iterdir()))} programs", file=sys.stderr)
        command = [args.bin / "traincheck", "library", corpus, "-o", args.output, "--alarm-budget", args.budget]
        if args.add_ranks_to is not None:
            command += ["--add-ranks-to", args.add_ranks_to]
        return subprocess.run([str(part) for part in command]).returncode


if __name__ == "__main__":
    sys.exit(main())
