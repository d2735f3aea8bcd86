"""Real Celery for the wire-identity tests: a client that does what standard input says, or a worker.

`wire_identity.py` reads one JSON request per line and answers with one line; `wire_identity.py worker
<settings> <arguments>` is a Celery worker with the tasks below.
"""
import json
import sys
from datetime import datetime

from celery import Celery
from celery.exceptions import Ignore, Reject
from celery.result import GroupResult
from kombu import Exchange, Queue


def queue_of(spec):
    spec = dict(spec)
    exchange = spec.pop('exchange', None)
    return Queue(
        spec.pop('name'),
        Exchange(**exchange) if exchange else None,
        routing_key=spec.pop('routing_key', ''),
        **spec,
    )


def make_app(settings):
    settings = dict(settings)
    if 'task_queues' in settings:
        settings['task_queues'] = [queue_of(spec) for spec in settings['task_queues']]
    app = Celery('wire', set_as_current=False)
    app.conf.update(settings)
    return app


def add_tasks(app):
    @app.task(name='wire.add')
    def add(x, y):
        return x + y

    @app.task(name='wire.late', acks_late=True)
    def late(x):
        return x

    @app.task(name='wire.fail')
    def fail():
        raise TypeError('bad argument')

    @app.task(name='wire.quiet', ignore_result=True)
    def quiet(x):
        return x

    @app.task(name='wire.tracked', track_started=True)
    def tracked(x):
        return x

    @app.task(name='wire.progress', bind=True)
    def progress(self, total):
        self.update_state(state='PROGRESS', meta={'done': 1, 'total': total})
        return total

    @app.task(name='wire.retry', bind=True, max_retries=2)
    def retry(self, x):
        if self.request.retries < 1:
            raise self.retry(countdown=0.2, exc=TypeError('again'))
        return x

    @app.task(name='wire.reject', acks_late=True)
    def reject():
        raise Reject('no', requeue=False)

    @app.task(name='wire.requeue', bind=True, acks_late=True)
    def requeue(self):
        if not self.request.delivery_info['redelivered']:
            raise Reject('again', requeue=True)
        return 'redelivered'

    @app.task(name='wire.ignore')
    def ignore():
        raise Ignore()

    @app.task(name='wire.parent', bind=True)
    def parent(self, child):
        app.send_task('wire.add', [1, 2], task_id=child)


class Client:
    def __init__(self):
        self.apps = {}
        self.results = []  # Celery unsubscribes from what is no longer referred to

    def use(self, name, settings):
        self.apps[name] = make_app(settings)

    def send(self, app, name, args=(), kwargs=None, options=None):
        options = dict(options or {})
        if app.conf.task_protocol == 1 and 'eta' in options:
            options['eta'] = datetime.fromisoformat(options['eta'])
        self.results.append(app.send_task(name, args, kwargs or {}, **options))

    def get(self, app, id):
        [result] = [each for each in self.results if each.id == id]
        return result.get(timeout=20)

    def state(self, app, id):
        return app.AsyncResult(id).state

    def forget(self, app, id):
        [result] = [each for each in self.results if each.id == id]
        result.forget()

    def store(self, app, id, state, result):
        app.backend.store_result(id, result, state)

    def save_group(self, app, id, members):
        GroupResult(id, [app.AsyncResult(each) for each in members], app=app).save()

    def forget_group(self, app, id):
        app.backend.delete_group(id)

    def purge(self, app):
        return app.control.purge()

    def delete(self, app, queue):
        with app.connection_for_write() as connection:
            declared = app.amqp.queues[queue](connection.default_channel)
            declared.declare()
            declared.delete()

    def revoke(self, app, id):
        return app.control.revoke(id, reply=True, timeout=5, destination=['w1@wire'])

    def ping(self, app):
        return app.control.ping(timeout=5, destination=['w1@wire'])


def drive():
    client = Client()
    print(json.dumps('ready'), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        op = request.pop('op')
        try:
            if op == 'use':
                answer = client.use(**request)
            else:
                answer = getattr(client, op)(client.apps[request.pop('as')], **request)
            print(json.dumps({'answer': answer}), flush=True)
        except Exception as error:
            print(json.dumps({'error': repr(error)}), flush=True)


def work():
    app = make_app(json.loads(sys.argv[2]))
    add_tasks(app)
    app.worker_main(['worker', *sys.argv[3:]])


work() if sys.argv[1:2] == ['worker'] else drive()
