"""Result metas of every state, saved groups and rpc results."""
import datetime as dt
import json

import celery.exceptions
import kombu.serialization
from celery.app.task import Context
from celery.backends.rpc import RPCBackend

from recording import NODE, NOW, TRACEBACK, TYPED, app, b64, make_app, reset, sample, tag


class Custom(Exception):
    """A class that only this module has."""


Custom.__module__ = 'shop.errors'
Custom.__qualname__ = 'Outer.Custom'


class Opaque:
    def __repr__(self):
        return '<Opaque>'


def results():
    backend_of = {name: make_app(result_serializer=name).backend for name in ('json', 'yaml', 'msgpack', 'pickle')}
    extended_backend = make_app(result_extended=True).backend

    def one(name, description, result, state, serializer='json', traceback=None, request=None, backend=None):
        reset()
        backend = backend or backend_of[serializer]
        backend.store_result('id-1', result, state, traceback=traceback, request=request)
        body = backend.get(backend.get_key_for_task('id-1'))
        backend.delete(backend.get_key_for_task('id-1'))
        body = body if isinstance(body, bytes) else body.encode()
        sample(f'result-{name}', 'result', description, serializer=serializer, body=b64(body),
               expected=tag(backend.decode(body)))

    empty = Context({'id': 'id-1', 'children': None})
    family = Context({'id': 'id-1', 'group': 'g-1', 'parent_id': 'p-1', 'root_id': 'r-1'})
    family._children = [app.AsyncResult('c-1'), app.GroupResult('g-2', [app.AsyncResult('c-2')])]
    one('success', 'a value', 5, 'SUCCESS', request=empty)
    one('success-null', 'no value', None, 'SUCCESS', request=empty)
    one('success-no-request', 'stored outside a task', 5, 'SUCCESS')
    one('success-family', 'group, parent and children', {'a': [1, 2]}, 'SUCCESS', request=family)
    one('success-typed', 'typed values', [TYPED['datetime-aware'], TYPED['decimal'], TYPED['uuid'], TYPED['bytes-binary']], 'SUCCESS', request=empty)
    one('success-result', 'a result object is stored as its tuple', app.AsyncResult('c-1'), 'SUCCESS', request=empty)
    one('success-big', 'a large integer', 2 ** 70, 'SUCCESS', request=empty)
    one('success-nan', 'not a number', float('inf'), 'SUCCESS', request=empty)
    one('started', 'started', {'pid': 30290, 'hostname': NODE}, 'STARTED', request=empty)
    one('pending', 'pending', None, 'PENDING')
    one('received', 'received', None, 'RECEIVED')
    one('rejected', 'rejected', None, 'REJECTED')
    one('ignored', 'ignored', None, 'IGNORED')
    one('progress', 'a custom state', {'done': 3, 'of': 10}, 'PROGRESS', request=empty)
    one('failure', 'a failure', ValueError('boom', 42, 'a'), 'FAILURE', traceback=TRACEBACK, request=empty)
    one('failure-no-args', 'an error without arguments', KeyError(), 'FAILURE', request=empty)
    one('failure-custom', 'a class of an app', Custom('custom'), 'FAILURE', traceback=TRACEBACK, request=empty)
    one('failure-opaque', 'an argument that cannot be stored', Custom('custom', Opaque()), 'FAILURE', request=empty)
    one('failure-nested', 'structured arguments', ValueError({'code': 7}, [1, 2]), 'FAILURE', request=empty)
    one('failure-os', 'an error of the system', FileNotFoundError(2, 'No such file or directory'), 'FAILURE', request=empty)
    one('failure-not-registered', 'an unknown task', celery.exceptions.NotRegistered('nope.nope'), 'FAILURE')
    one('failure-max-retries', 'no more retries', celery.exceptions.MaxRetriesExceededError("Can't retry t.add"), 'FAILURE', request=empty)
    one('failure-chord', 'a chord whose header failed', celery.exceptions.ChordError("Dependency c-1 raised ValueError('boom')"), 'FAILURE')
    one('failure-time-limit', 'the hard time limit', celery.exceptions.TimeLimitExceeded(30), 'FAILURE')
    one('failure-soft-time-limit', 'the soft time limit', celery.exceptions.SoftTimeLimitExceeded(), 'FAILURE')
    one('failure-worker-lost', 'the worker died', celery.exceptions.WorkerLostError('Worker exited prematurely: signal 9 (SIGKILL) Job: 1.'), 'FAILURE')
    one('retry', 'a retry', KeyError('again'), 'RETRY', traceback=TRACEBACK, request=empty)
    for reason in ('revoked', 'terminated', 'expired'):
        one(f'revoked-{reason}', reason, celery.exceptions.TaskRevokedError(reason), 'REVOKED')
    extended = Context({
        'id': 'id-1', 'task': 't.add', 'args': [1, 2], 'kwargs': {'y': 3}, 'hostname': NODE, 'retries': 1,
        'delivery_info': {'exchange': '', 'routing_key': 'celery'}})
    one('extended', 'result_extended', 3, 'SUCCESS', request=extended, backend=extended_backend)
    stamped = Context({
        'id': 'id-1', 'task': 't.add', 'args': [1], 'kwargs': {}, 'hostname': NODE, 'retries': 0,
        'delivery_info': {'routing_key': 'celery'}, 'stamped_headers': ['foo'], 'stamps': {'foo': 'bar'}})
    one('extended-stamped', 'result_extended with stamps', 3, 'SUCCESS', request=stamped, backend=extended_backend)
    one('extended-failure', 'result_extended of a failure', ValueError('boom'), 'FAILURE', traceback=TRACEBACK, request=extended, backend=extended_backend)
    for serializer in ('yaml', 'msgpack', 'pickle'):
        one(f'success-{serializer}', f'a value in {serializer}', {'a': [1, 'x', None]}, 'SUCCESS', serializer, request=family)
        one(f'progress-{serializer}', f'a custom state in {serializer}', {'done': 1}, 'PROGRESS', serializer)
    for serializer in ('yaml', 'msgpack'):
        one(f'failure-{serializer}', f'a failure in {serializer}', ValueError('boom', 42), 'FAILURE', serializer, traceback=TRACEBACK)
    one('failure-pickle', 'pickle keeps the exception itself', ValueError('boom', 42), 'FAILURE', 'pickle', traceback=TRACEBACK)
    oslo = make_app(timezone='Europe/Oslo')
    oslo.now = lambda: NOW.astimezone(dt.timezone(dt.timedelta(hours=1)))
    one('date-offset', 'the zone of the app', 5, 'SUCCESS', backend=oslo.backend)

    tuples = {
        'one': app.GroupResult('g-1', [app.AsyncResult('a'), app.AsyncResult('b')]),
        'nested': app.GroupResult('g-1', [app.AsyncResult('a'), app.GroupResult('g-2', [app.AsyncResult('b')])]),
        'parent': app.GroupResult('g-1', [app.AsyncResult('a')], parent=app.AsyncResult('p', parent=app.AsyncResult('pp'))),
        'empty': app.GroupResult('g-1', []),
    }
    backend = backend_of['json']
    for name, saved in tuples.items():
        backend.save_group('g-1', saved)
        body = backend.get(backend.get_key_for_group('g-1'))
        body = body if isinstance(body, bytes) else body.encode()
        sample(f'group-{name}', 'group', f'a saved group: {name}', serializer='json', body=b64(body), expected=tag(backend.decode(body)))

    rpc = RPCBackend(app=app)
    for name, state, value in (('success', 'SUCCESS', 5), ('failure', 'FAILURE', ValueError('boom')), ('started', 'STARTED', {'pid': 1})):
        data = rpc._to_result('id-1', state, rpc.encode_result(value, state), None, empty)
        _, _, body = kombu.serialization.dumps(data, serializer='json')
        sample(f'rpc-result-{name}', 'rpc-result', f'a result as a message: {name}', serializer='json', body=b64(body), expected=tag(json.loads(body)))
