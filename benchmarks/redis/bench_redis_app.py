"""The Python side of the comparison over Redis: a worker's app, and a client when run as a program."""
import json
import os
import sys
import time
from datetime import datetime, timedelta, timezone

from celery import Celery

log = os.open(f"{os.environ['BENCH_DIR']}/ran.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
url = os.environ["BENCH_URL"]
app = Celery("bench", broker=url, backend=os.environ.get("BENCH_RESULTS", url))
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)


@app.task(
    name="bench.add",
    ignore_result=os.environ.get("BENCH_IGNORE") == "1",
    acks_late=os.environ.get("BENCH_LATE") == "1",
)
def add(x, y):
    os.write(log, b"%10d %20d\n" % (x, time.time_ns() // 1000))
    return x + y


@app.task(
    name="bench.noop",
    ignore_result=os.environ.get("BENCH_IGNORE") == "1",
    acks_late=os.environ.get("BENCH_LATE") == "1",
)
def noop(x):
    os.write(log, b"%10d %20d\n" % (x, time.time_ns() // 1000))


def publish(count):
    add.apply_async((0, 1))
    began = time.perf_counter()
    for number in range(1, count):
        add.apply_async((number, 1))
    return {"rate": (count - 1) / (time.perf_counter() - began), "sent": count}


def latency(count):
    """100 a second; when each was sent (epoch milliseconds), and how long its result took."""
    add.apply_async((0, 1)).get(timeout=60)
    sent, took = [time.time() * 1000], []
    begin = time.perf_counter()
    for number in range(1, count):
        time.sleep(max(0, begin + number / 100 - time.perf_counter()))
        sent.append(time.time() * 1000)
        at = time.perf_counter()
        assert add.apply_async((number, 1)).get(timeout=60, interval=0.001) == number + 1
        took.append((time.perf_counter() - at) * 1000)
    return {"sent": sent, "took": took}


if __name__ == "__main__":
    print(json.dumps({"publish": publish, "latency": latency}[sys.argv[1]](int(sys.argv[2]))))
