"""Sends tasks for later from real Celery: `eta_sender.py url count first spread`, times in epoch seconds.

Prints one line for each, its id and when it is due."""
import sys
from datetime import datetime, timezone

from celery import Celery

url, count, first, spread = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
app = Celery('sender', broker=url)
for number in range(count):
    due = first + spread * number / count
    sent = app.send_task(
        'loss.work',
        args=[0, False],
        queue='loss',
        eta=datetime.fromtimestamp(due, timezone.utc),
        ignore_result=True,
    )
    print(sent.id, due)
