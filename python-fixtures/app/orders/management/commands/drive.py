"""Drives the real Celery client for the interop tests: one JSON request a line in, one JSON answer a line out.

Values travel in kombu's own JSON, so a request can hold datetimes, Decimals and the rest, typed.
"""
import sys

import celery.canvas
from celery.result import AsyncResult, ResultSet
from django.core.management.base import BaseCommand
from kombu import Exchange
from kombu.utils.json import dumps, loads
from shop.celery import app


def describe(value):
    return {'value': value, 'repr': repr(value), 'type': type(value).__name__}


def op_send(name, args=None, kwargs=None, options=None, local=False):
    if local:
        return {'id': app.tasks[name].apply_async(args, kwargs, **(options or {})).id}
    return {'id': app.send_task(name, args=args, kwargs=kwargs, **(options or {})).id}


def op_get(id, timeout=20):
    try:
        return {'ok': describe(AsyncResult(id, app=app).get(timeout=timeout, interval=0.05))}
    except Exception as exc:
        cls = type(exc)
        return {'error': {
            'type': cls.__qualname__, 'module': cls.__module__, 'args': [a if isinstance(a, (str, int, float)) else repr(a) for a in exc.args],
            'text': str(exc), 'mro': [c.__name__ for c in cls.__mro__],
        }}


def op_many(name, count, queue, timeout=20):
    """Sends many, then waits for all of them together."""
    results = [app.send_task(name, args=[n, 1], queue=queue) for n in range(count)]
    return ResultSet(results, app=app).join_native(timeout=timeout)


def op_meta(id):
    meta = app.backend.get_task_meta(id)
    result = meta.get('result')
    return {k: (v if k != 'result' or not isinstance(result, BaseException) else repr(v)) for k, v in meta.items() if k != 'children'} | {
        'children': [c.id for c in AsyncResult(id, app=app).children or []], 'date_done': str(meta.get('date_done')),
    }


def op_store(id, result, state, traceback=None):
    app.backend.store_result(id, result, state, traceback=traceback)


def op_forget(id):
    AsyncResult(id, app=app).forget()


def op_purge():
    return {'count': app.control.purge()}


def op_canvas(source):
    """Applies a canvas written as Python, with `s` for signatures by name: chain(s('py.add', 1, 2), s('node.add', 3))."""
    names = {n: getattr(celery.canvas, n) for n in ('chain', 'group', 'chord')}
    names['s'] = lambda name, *args, **kw: app.signature(name, args=args, kwargs=kw)
    names['on'] = lambda sig, **options: sig.set(**options)
    result = eval(source, names)  # noqa: S307
    result = result.apply_async() if not isinstance(result, AsyncResult) else result
    return {'id': result.id, 'parents': [p for p in _parents(result)]}


def _parents(result):
    while result.parent is not None:
        result = result.parent
        yield result.id


def op_fanout(exchange, name, args, routing_key='celery'):
    """Sends a task to a declared fanout exchange, with the key that Celery gives to queues of Broadcast."""
    with app.producer_pool.acquire(block=True) as producer:
        Exchange(exchange, type='fanout')(producer.channel).declare()
        return {'id': app.send_task(name, args=args, exchange=exchange, routing_key=routing_key, producer=producer).id}


def op_revoke(id, terminate=False):
    app.control.revoke(id, terminate=terminate)


def op_broadcast(command, arguments=None, **options):
    """`app.control.broadcast` with its own options; replies as Python got them."""
    return app.control.broadcast(command, arguments or {}, **options)


def op_ping(**options):
    return app.control.ping(**options)


class Command(BaseCommand):
    help = __doc__

    def handle(self, **_):
        print(dumps({'ready': True}), flush=True)
        for line in sys.stdin:
            if not line.strip():
                continue
            request = loads(line)
            try:
                answer = globals()['op_' + request.pop('op')](**request)
                print(dumps({'answer': answer}), flush=True)
            except Exception as exc:
                print(dumps({'failed': f'{type(exc).__name__}: {exc}'}), flush=True)
