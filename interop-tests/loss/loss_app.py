"""The Celery worker of the loss trials, with every setting on that guards against loss."""
import json
import os
import time

from celery import Celery
from celery.signals import worker_ready
from kombu.message import Message

FILE = os.open(os.environ['LOSS_ORACLE'], os.O_WRONLY | os.O_APPEND)


def record(what, id=None):
    fact = {'at': time.time() * 1000, 'what': what, 'id': id, 'who': os.environ['LOSS_WORKER']}
    os.write(FILE, (json.dumps({k: v for k, v in fact.items() if v is not None}) + '\n').encode())


app = Celery('loss', broker=os.environ['LOSS_BROKER_URL'], backend=os.environ.get('LOSS_RESULTS'))
app.conf.update(
    broker_transport_options=json.loads(os.environ['LOSS_BROKER_OPTIONS']),
    broker_connection_retry_on_startup=True,
    task_default_queue='loss',
    task_default_queue_type=os.environ['LOSS_QUEUE_TYPE'],
    task_ignore_result='LOSS_RESULTS' not in os.environ,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=4,
)


@app.task(name='loss.work', bind=True)
def work(self, seconds, blocking):
    record('start', self.request.id)
    time.sleep(seconds / 2)
    record('effect', self.request.id)
    time.sleep(seconds / 2)
    record('end', self.request.id)


def ack(self, *args, ack=Message.ack, **kwargs):
    id = self.headers.get('id')
    try:
        ack(self, *args, **kwargs)
    except Exception:
        record('unacked', id)
        raise
    if id:
        record('acked', id)


# Only looks on: when the broker was told, for the judge of the trials.
Message.ack = ack


@worker_ready.connect
def ready(**_):
    record('ready')
