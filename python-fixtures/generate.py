"""Records what the pinned Celery and kombu put on the wire into python-fixtures/data, one JSON file for each sample.

    .venv/bin/python python-fixtures/generate.py            write the files
    .venv/bin/python python-fixtures/generate.py --check    say what differs from the files, and fail if anything does

Everything is recorded from Celery's own code paths; only what differs from run to run is held still: ids, oids, node
names, the clock and the delivery tags. The same versions give the same bytes.

A sample is {"kind", "description", "python", ...}: the text or bytes that Python wrote ("text"; "body" in base64), and
what it means ("expected") as tagged JSON, see `tag`. A file of kind "vectors" holds a list of cases.
"""
import os
import sys

if os.environ.get('PYTHONHASHSEED') != '0' or os.environ.get('TZ') != 'UTC':
    # sets are ordered by string hashes, events carry the zone of the process
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, 'PYTHONHASHSEED': '0', 'TZ': 'UTC'})

import pathlib

from recording import FILES
from record_canvas import envelopes, signatures
from record_canvases import canvas_messages
from record_events import control, events
from record_results import results
from record_tasks import hybrids, retries, task_messages
from record_vectors import vectors

DATA = pathlib.Path(__file__).parent / 'data'


def main():
    for record in (task_messages, hybrids, retries, signatures, envelopes, results, events, control, vectors,
                   canvas_messages):
        record()
    if len(sys.argv) > 1 and sys.argv[1] == '--check':
        on_disk = {path.stem: path.read_text() for path in DATA.glob('*.json')}
        different = sorted(name for name in {*FILES, *on_disk} if FILES.get(name) != on_disk.get(name))
        for name in different:
            print(f'differs from what Python writes: {name}.json')
        return 1 if different else 0
    DATA.mkdir(exist_ok=True)
    for path in DATA.glob('*.json'):
        if path.stem not in FILES:
            path.unlink()
    for name, text in FILES.items():
        (DATA / f'{name}.json').write_text(text)
    print(f'{len(FILES)} samples in {DATA.name}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
