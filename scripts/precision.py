"""Precision on tests/pipelines: what was learned from two runs of one configuration must be silent on other good runs.

For every pipeline two runs of one configuration teach (seeds 1 and 2). Clean variants of it must raise no alarm: other
seeds, batch sizes, learning rates, lengths and sizes, without evaluation, resumed from a checkpoint, stopped half-way.
And what the references of all pipelines but one say together must raise none on the pipeline that is left out. The
variants are in tests/pipelines/variants.toml, which says how they are written.

Prints a table and every alarm with its run, title and invariants. A check that comes to no verdict (exit code 2) is no
alarm, but proves nothing either: variants.toml says where that may be and why, and there it is listed apart. Exits with 1
if there is an alarm, if there is no verdict anywhere else, or if something did not work.

With `--out DIR --again` nothing is trained: the runs that DIR has are learned from and checked anew. With `--add` those
that it lacks are recorded as well.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

from tool import Failed, check, infer, print_table

PIPELINES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "pipelines"
SEEDS = (1, 2)
# Variants take other seeds than the references, each its own.
FIRST_SEED = 3
KEYS = {"arguments", "first", "stop_after", "no_verdict"}
# A training that takes longer hangs.
TIME_LIMIT = 300


class Variant:
    """A way to run a pipeline."""

    def __init__(self, pipeline, name, seed, table=None):
        table = table or {}
        if unknown := set(table) - KEYS:
            raise Failed(f"variants.toml: {pipeline.name}, {name}: no such key: {', '.join(sorted(unknown))}")
        self.pipeline = pipeline
        self.name = name
        self.folder = pipeline.folder / name.replace(" ", "-").replace("/", "-")
        common = pipeline.arguments + ["--seed", str(seed)]
        self.arguments = common + table.get("arguments", [])
        # What runs before it, into the same --out: makes the checkpoint to go on from.
        self.first = common + table["first"] if "first" in table else None
        self.stop_after = table.get("stop_after")
        # Why a check of it may come to no verdict.
        self.no_verdict = table.get("no_verdict")

    def record(self, args):
        """Trains under the agent unless that has been done. What a run left half-done is not taken for it."""
        if args.again or args.add and (self.folder / "run").is_dir():
            return
        os.makedirs(self.folder, exist_ok=True)
        if args.add:
            shutil.rmtree(self.folder / "partial", ignore_errors=True)
        for old in ("run", "partial"):
            if (self.folder / old).exists():
                raise Failed(f"{self.folder}/{old} is in the way; remove it, or give --add or --again")
        arguments = [sys.executable, PIPELINES / f"{self.pipeline.name}.py"]
        if self.pipeline.takes_out:
            arguments += ["--out", self.folder / "out"]
        if self.first is not None:
            self.run("first.txt", [*arguments, *self.first], stop_after=None)
        collect = [args.bin / "traincheck", "collect", "-o", self.folder / "partial", "--"]
        self.run("output.txt", [*collect, *arguments, *self.arguments], self.stop_after)
        if not (self.folder / "partial").is_dir():
            raise Failed(f"nothing was recorded; see {self.folder}/output.txt")
        (self.folder / "partial").rename(self.folder / "run")

    def run(self, log, command, stop_after):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        with open(self.folder / log, "w") as out:
            process = subprocess.Popen(
                [str(part) for part in command], stdout=subprocess.PIPE, stderr=out, env=environment, text=True
            )
            seen, stopped = 0, False
            for line in process.stdout:
                out.write(line)
                seen += line.startswith(self.pipeline.line)
                if stop_after is not None and seen >= stop_after and not stopped:
                    stopped = True
                    process.send_signal(signal.SIGTERM)
            code = process.wait(TIME_LIMIT)
        if stop_after is not None and not stopped:
            raise Failed(f"it ended before its line {stop_after}; see {self.folder}/{log}")
        if code != (128 + signal.SIGTERM if stopped else 0):
            raise Failed(f"the training ended with exit code {code}; see {self.folder}/{log}")


class Pipeline:
    def __init__(self, name, table, args):
        self.name = name
        self.folder = args.out / name
        self.line = table.get("line", "loss")
        self.arguments = table.get("arguments", [])
        self.takes_out = table.get("takes_out", True)
        if unknown := set(table) - {"line", "arguments", "takes_out", "variants"}:
            raise Failed(f"variants.toml: {name}: no such key: {', '.join(sorted(unknown))}")
        self.references = [Variant(self, f"reference {seed}", seed) for seed in SEEDS]
        variants = enumerate(table.get("variants", {}).items(), start=FIRST_SEED)
        self.variants = [
            Variant(self, name, seed, variant)
            for seed, (name, variant) in variants
            if args.variants is None or name in args.variants
        ][:: args.every]


def learn(args, pipelines, output):
    """Learns from the references of these pipelines."""
    references = [variant.folder / "run" for pipeline in pipelines for variant in pipeline.references]
    return infer(args.bin, references, output)


Row = collections.namedtuple("Row", "run verdict details")


def verdict(args, title, run, invariants, report, no_verdict):
    """Checks a run; what it says. `no_verdict` is why it may say nothing, or None."""
    code, said, alarms = check(args.bin, run, invariants, report)
    if alarms:
        details = [line for finding in alarms for line in describe(finding)]
        return Row(title, f"{len(alarms)} alarms" if len(alarms) > 1 else "1 alarm", details + [f"  in {report}"])
    if code == 2:
        why = said.get("why_no_verdict")
        if no_verdict is None:
            raise Failed(f"no verdict, and variants.toml does not say why that may be: {why}")
        return Row(title, "no verdict", [f"  {why}", f"  may be: {no_verdict}"])
    if code != 0:
        raise Failed(f"check ended with exit code {code} and no alarm")
    counts = said["counts"]["alarm"]
    return Row(title, "clean", [f"{counts['held']} of {sum(counts.values())} held"])


def describe(finding):
    yield f"  {finding['title']} ({finding['cause']}), iteration {finding['first']['iteration']}"
    for invariant in finding["invariants"]:
        if invariant["level"] == "alarm":
            yield f"    {invariant['id']}: {invariant['text']}"
            yield f"      failed {invariant['failed']}, held {invariant['held']}"


def attempt(title, work):
    """The row that `work` gives, or one that says what did not work."""
    try:
        row = work()
    except (Failed, subprocess.SubprocessError, OSError) as error:
        row = Row(title, "FAILED", [f"  {error}"])
    if row is not None and row.verdict != "clean":
        print("\n".join([f"  {row.run}: {row.verdict}", *row.details]), file=sys.stderr, flush=True)
    return row


def everything(args, pipelines):
    """Records, learns and checks; the rows, in the order of the table."""
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:

        def all_of(works):
            return list(pool.map(lambda work: attempt(*work), works))

        def record(variant):
            def work():
                begun = time.monotonic()
                variant.record(args)
                seconds = time.monotonic() - begun
                if seconds > 1:
                    print(f"  {variant.pipeline.name}, {variant.name}: {seconds:.0f} s", file=sys.stderr, flush=True)

            return f"{variant.pipeline.name}, {variant.name}", work

        # What everything else needs comes first.
        variants = [v for p in pipelines for v in p.references] + [v for p in pipelines for v in p.variants]
        rows = [row for row in all_of([record(variant) for variant in variants]) if row]
        recorded = [pipeline for pipeline in pipelines if all((v.folder / "run").is_dir() for v in pipeline.references)]

        def learned(title, of, output):
            return title, lambda: print(f"  {title}: {learn(args, of, output)}", file=sys.stderr, flush=True)

        own = [learned(p.name, [p], p.folder / "invariants.json") for p in recorded]
        left_out = args.leave_one_out and len(recorded) > 1
        if left_out:
            for pipeline in recorded:
                others = [other for other in recorded if other is not pipeline]
                own.append(learned(f"all but {pipeline.name}", others, pipeline.folder / "of-the-others.json"))
        rows += [row for row in all_of(own) if row]

        def checked(pipeline, title, run, invariants, report, no_verdict=None):
            report = pipeline.folder / "reports" / f"{report}.json"
            return title, lambda: verdict(args, title, run, pipeline.folder / invariants, report, no_verdict)

        works = []
        for pipeline in recorded:
            for variant in pipeline.variants:
                if (variant.folder / "run").is_dir():
                    title, run, report = f"{pipeline.name}, {variant.name}", variant.folder / "run", variant.folder.name
                    works.append(checked(pipeline, title, run, "invariants.json", report, variant.no_verdict))
            if left_out:
                title = f"{pipeline.name}, learned from the others"
                run = pipeline.references[0].folder / "run"
                works.append(checked(pipeline, title, run, "of-the-others.json", "of-the-others"))
        return rows + all_of(works)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of traincheck and libtraincheck.so")
    parser.add_argument("--out", type=pathlib.Path, help="folder for runs and reports; a temporary one without it")
    parser.add_argument("--again", action="store_true", help="train nothing, take the runs that --out has")
    parser.add_argument("--add", action="store_true", help="train only what --out does not have")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time (1)")
    parser.add_argument("--variants", action="append", metavar="NAME", help="only this variant; may be given often")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th variant of a pipeline (1)")
    parser.add_argument("--no-leave-one-out", dest="leave_one_out", action="store_false")
    parser.add_argument("pipelines", nargs="*", metavar="PIPELINE", help="of tests/pipelines/variants.toml; all")
    args = parser.parse_args()
    table = tomllib.loads((PIPELINES / "variants.toml").read_text())
    for name in args.pipelines:
        if name not in table:
            parser.error(f"no pipeline {name} in {PIPELINES}/variants.toml")
    with tempfile.TemporaryDirectory(prefix="traincheck-precision-") as scratch:
        args.out = (args.out or pathlib.Path(scratch)).resolve()
        pipelines = [Pipeline(name, table[name], args) for name in args.pipelines or table]
        rows = everything(args, pipelines)
    print_table([["run", "verdict", ""]] + [[r.run, r.verdict, *(r.details if r.verdict == "clean" else [""])] for r in rows])
    for kind in ("no verdict", "FAILED"):
        if of_kind := [row for row in rows if row.verdict == kind]:
            print(f"\n{kind}:")
            for row in of_kind:
                print("\n".join([f"  {row.run}", *(f"  {line}" for line in row.details)]))
    alarmed = [row for row in rows if "alarm" in row.verdict]
    for row in alarmed:
        print("\n".join([f"\n{row.run}: {row.verdict}", *row.details]))
    clean = sum(row.verdict == "clean" for row in rows)
    failed = sum(row.verdict == "FAILED" for row in rows)
    undecided = len(rows) - clean - len(alarmed) - failed
    print(f"\n{len(rows)} runs: {clean} clean, {len(alarmed)} with alarms, {undecided} without a verdict, {failed} failed.")
    print(f"{clean} passed, {len(alarmed) + failed} failed, {undecided} skipped")
    return 1 if alarmed or failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"precision: {error}")
