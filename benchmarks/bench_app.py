"""The Python side of the comparison: the same task on the same folder; see app.ts."""
import json
import os
import sys
import time

from celery import Celery

folder = os.environ["BENCH_DIR"]
log = os.open(f"{folder}/ran.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

app = Celery("bench", broker="filesystem://", backend=f"file://{folder}/results")
app.conf.update(
    broker_transport_options={
        "data_folder_in": f"{folder}/broker",
        "data_folder_out": f"{folder}/broker",
        "control_folder": f"{folder}/broker/control",
    },
    broker_connection_retry_on_startup=False,
    worker_hijack_root_logger=False,
)


@app.task(name="bench.add", ignore_result=os.environ.get("BENCH_IGNORE") == "1")
def add(x, y):
    os.write(log, b"%10d %20d\n" % (x, time.time_ns() // 1000))
    return x + y


if __name__ == "__main__":
    count = int(sys.argv[1])
    add.apply_async((0, 1))
    began = time.perf_counter()
    for number in range(1, count):
        add.apply_async((number, 1))
    print(json.dumps({"seconds": time.perf_counter() - began, "count": count - 1}))
