"""Celery's side of the comparison of canvases: a worker's app, and the client when run as a program."""
import json
import os
import sys
import time

from celery import Celery, chain, chord
from celery.exceptions import TimeoutError

log = os.open(f"{os.environ['BENCH_DIR']}/ran.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
url = os.environ["BENCH_URL"]
app = Celery("bench", broker=url, backend=url)
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)


def record(number):
    os.write(log, b"%10d %20d\n" % (number, time.time_ns() // 1000))


@app.task(name="bench.step")
def step(value, number):
    record(number)
    return value + 1


@app.task(name="bench.total")
def total(values, number):
    record(number)
    return sum(values)


def canvases(what, count, length, start):
    def chain_from(first):
        return chain(step.s(0, first), *[step.s(first + index) for index in range(1, length)])

    if what == "chord":
        header = [step.s(0, start + index) for index in range(length)]
        return [chord(header, total.s(start + length))]
    return [chain_from(start + index * length) for index in range(count)]


def waited(result, bound=120):
    """Celery's client may never hear of a result that is there (that of a chord of 10,000, in each of our trials). Each
    wait begins with a look, so short ones see it, at most half a second late."""
    end = time.monotonic() + bound
    while True:
        try:
            return result.get(timeout=0.5, interval=0.001)
        except TimeoutError:
            if time.monotonic() > end:
                raise


if __name__ == "__main__":
    how, what, count, length, times = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    tasks = length + 1 if what == "chord" else count * length
    step.apply_async((0, 0)).get(timeout=60)
    took = []
    for turn in range(times):
        time.sleep(0.4)
        began = time.perf_counter()
        results = [canvas.apply_async() for canvas in canvases(what, count, length, 1 + turn * tasks)]
        sent = time.perf_counter() - began
        values = [waited(result) if how == "steps" else result.get(timeout=120) for result in results]
        took.append({"ms": (time.perf_counter() - began) * 1000, "sentMs": sent * 1000})
        assert all(value == length for value in values), f"a {what} of {length} gave {values}"
    print(json.dumps(took))
