"""Play acceptance definitions: ``python -m tests.conformance.run DIR [--port P]``.

Without ``--port`` an acceptor of ours is started for the run. ``--differential`` compares every
version with the reference engine instead; ``--table FILE`` runs both and writes the conformance table.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

from tests.conformance import reference
from tests.conformance.campaign import (
    Results,
    definition_files,
    definitions_root,
    of_fix44,
    play_files,
    run,
    run_definitions,
)  # fmt: skip
from tests.conformance.differential import Extent
from tests.conformance.known import known
from tests.conformance.table import conformance_table


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.run", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, help="folder of .def files, or of such folders")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, action="append", help="a running acceptor; repeated: play on all of them")
    parser.add_argument("--differential", action="store_true", help="compare with the reference engine")
    parser.add_argument("--histories", type=int, default=Extent.histories, help="random conversations of each version")
    parser.add_argument(
        "--situations", type=int, default=Extent.situations, help="random situations of each kind and version: 4 kinds"
    )
    parser.add_argument("--first", type=int, default=Extent.first, help="seed of the first situation")
    parser.add_argument("--thorough", action="store_true", help="compare 300,000 messages instead of 15,000")
    parser.add_argument("--table", type=Path, help="write the conformance table to this file")
    return parser.parse_args()


def files_in(directory: Path) -> dict[str, Path]:
    """Definitions of one folder, or of the folders in it."""
    files = {f"{directory.name}/{file.stem}": file for file in sorted(directory.glob("*.def"))}
    return files or definition_files(directory)


def report_definitions(faults: dict[str, str]) -> int:
    for name, fault in sorted(faults.items()):
        if fault:
            print(f"FAILED {name}\n  {fault}")
    failed = sum(1 for fault in faults.values() if fault)
    print(f"{len(faults) - failed} of {len(faults)} definitions hold")
    return failed


def report_comparisons(results: Results) -> int:
    differing = [found for found in results.comparisons.values() if not found.equal]
    unknown = [found for found in differing if not known(found.name)]
    for found in unknown:
        print(found.report())
    print(
        f"{len(results.comparisons) - len(differing)} of {len(results.comparisons)} scripts equal, "
        f"{len(differing) - len(unknown)} differ on purpose, {len(unknown)} differ; "
        f"{sum(found.sent for found in results.comparisons.values()):,} messages sent to each"
    )
    return len(unknown)


def main() -> int:
    options = arguments()
    started = time.monotonic()
    failed = 0
    files = files_in(options.directory or definitions_root())
    both = options.table is not None
    if (both or options.differential) and reference.available():
        print(f"no reference engine: {reference.available()}")
        return 2
    if options.port:
        failed += report_definitions(asyncio.run(play_files(files, options.host, options.port)))
    elif both or options.differential:
        extent = Extent(options.histories, options.thorough, options.situations, options.first)
        results = asyncio.run(run(files if both else {}, of_fix44(files), extent))
        failed += report_definitions(results.definitions) if both else 0
        failed += report_comparisons(results)
        if both:
            options.table.write_text(conformance_table(results))
            print(f"wrote {options.table}")
    elif files:
        failed += report_definitions(asyncio.run(run_definitions(files)))
    else:
        print(f"no definitions in {options.directory or definitions_root()}")
        return 2
    print(f"{time.monotonic() - started:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
