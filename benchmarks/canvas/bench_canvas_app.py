"""Celery's side of the comparison of canvases: a worker's app, and the client when run as a program."""
import json
import os
import sys
import time

from celery import Celery, chain, chord

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


def canvases(what, count, length):
    def chain_from(first):
        return chain(step.s(0, first), *[step.s(first + index) for index in range(1, length)])

    if what == "chord":
        return [chord([step.s(0, number) for number in range(1, length + 1)], total.s(length + 1))]
    return [chain_from(index * length + 1) for index in range(count)]


if __name__ == "__main__":
    what, count, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    step.apply_async((0, 0)).get(timeout=60)
    time.sleep(0.3)
    began = time.perf_counter()
    results = [canvas.apply_async() for canvas in canvases(what, count, length)]
    sent = time.perf_counter() - began
    values = [result.get(timeout=240, interval=0.001) for result in results]
    took = time.perf_counter() - began
    assert all(value == length for value in values), f"a {what} of {length} gave {values}"
    print(json.dumps({"ms": took * 1000, "sentMs": sent * 1000}))
