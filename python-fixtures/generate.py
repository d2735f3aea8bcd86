"""Records what the pinned Celery and kombu put on the wire into python-fixtures/data, one JSON file for each sample.

    .venv/bin/python python-fixtures/generate.py            write the files
    .venv/bin/python python-fixtures/generate.py --check    say what differs from the files, and fail if anything does

Everything is recorded from Celery's own code paths; only what differs from run to run is held still: ids, oids, node
names, the clock and the delivery tags. The same versions give the same bytes.

A sample is {"kind", "description", "python", ...}: the text or bytes that Python wrote ("text"; "body" in base64), and
what it means ("expected") as tagged JSON, see `tag`. A file of kind "vectors" holds a list of cases.
"""
import base64
import json
import os
import pathlib
import sys

if os.environ.get('PYTHONHASHSEED') != '0' or os.environ.get('TZ') != 'UTC':
    # sets are ordered by string hashes, events carry the zone of the process
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, 'PYTHONHASHSEED': '0', 'TZ': 'UTC'})

import datetime as dt
import decimal
import functools
import uuid as uuid_module

import celery
import celery.app.amqp
import kombu
import kombu.clocks
import kombu.common
import kombu.compression
import kombu.pidbox
import kombu.serialization
import kombu.utils.uuid
from celery import Celery, chain, chord, group
from celery._state import _task_stack
from celery.app.task import Context
from celery.canvas import StampingVisitor
from celery.events.dispatcher import EventDispatcher
from celery.events.event import Event
from celery.utils.saferepr import saferepr
from celery.worker.request import Request
from kombu.transport.virtual import base as virtual
from kombu.transport.virtual.exchange import TopicExchange
from kombu.utils import json as kombu_json

DATA = pathlib.Path(__file__).parent / 'data'
VERSIONS = {'celery': celery.__version__, 'kombu': kombu.__version__}
UTC = dt.timezone.utc
NOW = dt.datetime(2026, 11, 20, 10, 11, 12, 461372, tzinfo=UTC)
EPOCH = 1795169681.647785
OID = '98027ac8-ecb3-3239-bdb8-3bce4aa7c684'
TAG = '2dbbb822-eeeb-4329-8329-8c1c77bfc3c1'
NODE = 'w1@host'

# ---- what differs from run to run ----

_ids = 0


def _next_id():
    global _ids
    _ids += 1
    return uuid_module.UUID(int=0x11111111_0000_4000_8000_000000000000 + _ids)


def reset():
    global _ids
    _ids = 0
    app.clock = kombu.clocks.LamportClock()
    CAPTURED.clear()


sys.modules['kombu.utils.uuid'].uuid.__defaults__ = (_next_id,)
kombu.common.generate_oid = lambda *_: OID
celery.app.amqp.anon_nodename = lambda: 'gen1@host'
kombu.pidbox.time = lambda: EPOCH

CAPTURED = []


def _capture(self, message, exchange, routing_key, **kwargs):
    self._inplace_augment_message(message, exchange, routing_key)
    message['properties']['delivery_tag'] = TAG
    # as Redis and the filesystem write it; and a copy, as Celery goes on with the object
    CAPTURED.append(kombu_json.dumps(message))


virtual.Channel.basic_publish = _capture

# ---- the app ----


def make_app(**conf):
    made = Celery('fixtures', broker='memory://', backend='cache+memory://', set_as_current=True)
    made.conf.update(
        accept_content=['json', 'yaml', 'msgpack', 'pickle'],
        result_accept_content=['json', 'yaml', 'msgpack', 'pickle'],
        task_publish_retry=False,
        **conf,
    )
    made.now = lambda: NOW

    @made.task(name='t.add')
    def add(x, y=0):
        return x + y

    @made.task(name='t.xsum')
    def xsum(items):
        return sum(items)

    @made.task(name='t.retry', bind=True, max_retries=None)
    def retry(self, x, y=0):
        return x

    return made


app = make_app()
add, xsum, retry = app.tasks['t.add'], app.tasks['t.xsum'], app.tasks['t.retry']

# ---- tagged JSON ----


def tag(value):
    """Text, None and bool stand for themselves; everything else is an object with one key, its Python type."""
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return {'int': str(value)}
    if isinstance(value, float):
        return {'float': repr(value)}
    if isinstance(value, bytes):
        return {'bytes': base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {'dict': [[tag(key), tag(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {'tuple' if isinstance(value, tuple) else 'list': [tag(item) for item in value]}
    if isinstance(value, (set, frozenset)):
        return {type(value).__name__: [tag(item) for item in sorted(value)]}
    if isinstance(value, dt.datetime):
        return {'datetime': value.isoformat()}
    if isinstance(value, dt.date):
        return {'date': value.isoformat()}
    if isinstance(value, dt.time):
        return {'time': value.isoformat()}
    if isinstance(value, decimal.Decimal):
        return {'decimal': str(value)}
    if isinstance(value, uuid_module.UUID):
        return {'uuid': str(value)}
    if isinstance(value, BaseException):
        return {'exception': [type(value).__module__, type(value).__qualname__, [tag(arg) for arg in value.args]]}
    raise TypeError(f'no tag for {value!r}')


FILES = {}


def sample(name, kind, description, **fields):
    assert name not in FILES, f'two samples named {name}'
    record = {'kind': kind, 'description': description, 'python': VERSIONS, **fields}
    FILES[name] = json.dumps(record, indent=1, ensure_ascii=True) + '\n'


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def envelope_fields(text):
    """An envelope's text, and what kombu's own reader makes of it."""
    payload = kombu_json.loads(text)
    message = virtual.Message(payload, channel=virtual.Channel(app.connection_for_write().transport))
    body = message.body
    content = kombu.serialization.loads(
        body, message.content_type, message.content_encoding, accept={message.content_type})
    return {
        'text': text,
        'expected': {
            'headers': tag(message.headers),
            'properties': tag(payload['properties']),
            'contentType': message.content_type,
            'contentEncoding': message.content_encoding,
            'body': tag(content),
        },
    }


def task_sample(name, description, send, kind='task'):
    reset()
    send()
    assert CAPTURED, name
    for index, text in enumerate(CAPTURED):
        suffix = f'-{index + 1}' if len(CAPTURED) > 1 else ''
        sample(f'{name}{suffix}', kind, description, **envelope_fields(text))


TYPED = {
    'int': 5,
    'big-int': 2 ** 70,
    'negative-int': -(2 ** 53) - 1,
    'float': 1.5,
    'whole-float': 2.0,
    'tiny-float': 1e-07,
    'infinity': float('inf'),
    'text': 'naïve \U0001f600 "quotes" \\ \x7f \n',
    'null': None,
    'bool': True,
    'bytes-utf8': b'abc',
    'bytes-binary': b'\xff\x00',
    'datetime-aware': dt.datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    'datetime-naive': dt.datetime(2030, 1, 2, 3, 4, 5),
    'datetime-offset': dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
    'date': dt.date(2030, 1, 2),
    'time': dt.time(3, 4, 5, 678901),
    'decimal': decimal.Decimal('1.10'),
    'uuid': uuid_module.UUID('6ba7b810-9dad-41d1-80b4-00c04fd430c8'),
    'nested': {'a': [1, {'b': [None, True, 'x']}], 'empty': {}, 'list': []},
    'set': {1, 2, 3},
    'tuple': (1, 'a'),
}


def task_messages():
    send = functools.partial
    aware = dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    options = {
        'plain': ('two positional arguments', {}),
        'countdown': ('countdown becomes eta in UTC', {'countdown': 10}),
        'countdown-fraction': ('fractions of a second are kept', {'countdown': 1.25}),
        'eta': ('an aware eta', {'eta': aware}),
        'eta-naive': ('a naive eta stays naive', {'eta': dt.datetime(2030, 1, 2, 3, 4, 5, 678901)}),
        'eta-offset': ('an eta in another zone', {
            'eta': dt.datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=dt.timezone(dt.timedelta(hours=-5, minutes=-30)))}),
        'eta-text': ('a text eta is passed through', {'eta': '2030-01-02T03:04:05Z'}),
        'expires': ('seconds become header and expiration property', {'expires': 60}),
        'expires-datetime': ('an aware expires', {'expires': aware}),
        'expires-text': ('a text expires is passed through', {'expires': '2030-01-02T03:04:05+00:00'}),
        'expires-past': ('an expires in the past', {'expires': NOW - dt.timedelta(seconds=5)}),
        'time-limits': ('hard first, soft second', {'time_limit': 30, 'soft_time_limit': 20.5}),
        'time-limit-hard': ('only the hard limit', {'time_limit': 30}),
        'priority': ('a priority', {'priority': 5}),
        'priority-high': ('not clamped on the wire', {'priority': 200}),
        'queue': ('another queue', {'queue': 'billing'}),
        'exchange': ('an exchange and routing key', {'exchange': 'shop', 'routing_key': 'shop.orders'}),
        'shadow': ('a display name', {'shadow': 'add-2-3'}),
        'ignore-result': ('the caller wants no result', {'ignore_result': True}),
        'headers': ('custom headers at top level', {'headers': {'X-Foo': 'bar', 'tenant': 7}}),
        'headers-typed': ('typed values in headers', {'headers': {'when': aware, 'token': b'\xff'}}),
        'headers-nested': ('the old idiom of a nested headers key', {'headers': {'headers': {'n': 1}, 'zz': 2}}),
        'headers-override': ('a custom header replaces the protocol\'s', {'headers': {'shadow': 'custom'}}),
        'headers-hidden': ('names of Context attributes are hidden', {'headers': {'get': 1, 'update': 2, 'seen': 3}}),
        'headers-death': ('a dead-letter trail', {'headers': {'x-death': [{'count': 1}], 'x-first-death-queue': 'q', 'k': 1}}),
        'correlation': ('another correlation id', {'correlation_id': 'corr-1'}),
        'reply-to': ('another reply queue', {'reply_to': 'my-queue'}),
        'transient': ('a transient message', {'delivery_mode': 1}),
        'transient-text': ('a transient message by name', {'delivery_mode': 'transient'}),
        'link': ('a callback', {'link': add.s(10)}),
        'link-two': ('two callbacks', {'link': [add.s(10), add.si(1, 2)]}),
        'link-error': ('an errback', {'link_error': [xsum.s()]}),
        'link-group': ('a group as callback', {'link': group(add.s(1), add.s(2))}),
        'chain-option': ('remaining steps, next last', {'chain': [add.s(2), add.s(1)]}),
        'chord-option': ('a chord body with its group', {'chord': xsum.s(), 'group_id': 'g-1', 'group_index': 0}),
        'group': ('a member of a group', {'group_id': 'g-1', 'group_index': 3}),
        'parents': ('root and parent', {'root_id': 'root-1', 'parent_id': 'parent-1'}),
        'custom-id': ('any text is an id', {'task_id': 'custom-id'}),
        'retries': ('not the first attempt', {'retries': 2}),
        'reprs': ('reprs that hide a secret', {'argsrepr': '(***)', 'kwargsrepr': '{}'}),
        'origin': ('an origin of its own', {'origin': 'me@there'}),
        'replaced': ('a replaced task', {'replaced_task_nesting': 2}),
        'extra-properties': ('options nobody consumes become properties', {'MessageGroupId': 'g', 'DelaySeconds': 3}),
        'amqp-properties': ('standard properties', {'message_id': 'm-1', 'type': 'T', 'app_id': 'A', 'timestamp': 1795169681}),
        'stamps': ('stamps', {'stamped_headers': ['st', 'tenant'], 'st': 'v', 'tenant': ['a', 'b']}),
        'stamps-empty': ('an empty list of stamps', {'stamped_headers': []}),
    }
    for name, (description, option) in options.items():
        task_sample(f'v2-task-{name}', description, send(add.apply_async, (2, 3), **option))
    task_sample('v2-task-kwargs', 'keyword arguments', send(add.apply_async, (2,), {'y': 3}))
    task_sample('v2-task-no-args', 'neither args nor kwargs', send(app.send_task, 't.add'))
    task_sample('v2-task-list-args', 'args given as a list', send(app.send_task, 't.add', args=[1, 2]))
    task_sample('v2-task-one-arg', 'one argument shows its comma', send(add.apply_async, (1,)))
    task_sample('v2-task-unicode', 'text beyond ASCII', send(app.send_task, 't.ünïcode', args=['\U0001f600', "it's"]))
    task_sample('v2-task-deep', 'args deeper than the repr shows', send(app.send_task, 't.x', args=[[[[[1]]]], {'a': {'b': {'c': 1}}}]))
    task_sample('v2-task-long', 'args longer than the repr shows', send(app.send_task, 't.x', args=['x' * 2000]))
    task_sample('v2-task-proto-key', 'a keyword named __proto__', send(app.send_task, 't.x', kwargs={'__proto__': {'polluted': True}}))
    app.conf.timezone = 'Europe/Oslo'
    task_sample('v2-task-countdown-oslo', 'countdown in the zone of the app', send(add.apply_async, (2, 3), countdown=10))
    app.conf.timezone = 'UTC'

    for serializer in ('json', 'yaml', 'msgpack', 'pickle'):
        task_sample(f'v2-task-serializer-{serializer}', f'a body in {serializer}',
                    send(add.apply_async, (2, 3), serializer=serializer))
        for name, value in TYPED.items():
            reset()
            try:
                app.send_task('t.x', args=[value], serializer=serializer)
                fields = envelope_fields(CAPTURED[0])
            except Exception as exc:
                if serializer == 'json' and name != 'set':
                    raise
                assert type(exc).__name__ in ('EncodeError', 'DecodeError'), exc
                continue
            sample(f'v2-task-{serializer}-{name}', 'task', f'{name} in {serializer}', **fields)

    for serializer in ('msgpack', 'pickle'):
        task_sample(f'v2-task-link-{serializer}', f'a callback in {serializer}',
                    send(add.apply_async, (2, 3), link=add.s(1), serializer=serializer))

    for compression in ('gzip', 'bzip2', 'lzma', 'brotli', 'zstd'):
        task_sample(f'v2-task-compression-{compression}', f'a body compressed with {compression}',
                    send(app.send_task, 't.x', args=['abc' * 100], compression=compression))
    task_sample('v2-task-compression-pickle', 'compressed pickle',
                send(app.send_task, 't.x', args=['abc' * 100], compression='zlib', serializer='pickle'))

    app.conf.task_protocol = 1
    v1 = {
        'plain': ('all defaults', {}),
        'options': ('every field', {'countdown': 10, 'expires': 60, 'time_limit': 5, 'link': add.s(2), 'link_error': [xsum.s()]}),
        'group': ('a member of a group', {'group_id': 'g-1', 'group_index': 2}),
        'chord': ('a chord body', {'group_id': 'g-1', 'chord': xsum.s()}),
        'priority': ('a priority', {'priority': 5}),
        'compression': ('a compressed body', {'compression': 'zlib'}),
    }
    amqp = celery.app.amqp.AMQP(app)
    saved, app.amqp = app.amqp, amqp
    for name, (description, option) in v1.items():
        task_sample(f'v1-task-{name}', description, send(add.apply_async, (1,), **option), kind='task-v1')
    for serializer in ('yaml', 'msgpack', 'pickle'):
        task_sample(f'v1-task-{serializer}', f'a body in {serializer}',
                    send(add.apply_async, (1,), {'y': 2}, serializer=serializer), kind='task-v1')
    app.conf.task_protocol = 2
    app.amqp = saved


def raw_task(name, kind, description, body, headers, serializer='json'):
    """A message nobody sends today, published with kombu; that Celery's worker takes it is checked below."""
    reset()
    with app.producer_pool.acquire() as producer:
        producer.publish(body, serializer=serializer, headers=headers, routing_key='celery',
                         correlation_id='id-1', reply_to='')
    sample(name, kind, description, **envelope_fields(CAPTURED[0]))


def hybrids():
    base = {'task': 't.add', 'id': 'id-1', 'args': [1, 2], 'kwargs': {}}
    raw_task('v1-task-minimal', 'task-v1', 'the least a worker takes', base, {})
    raw_task('v1-task-no-args', 'task-v1', 'args and kwargs absent', {'task': 't.add', 'id': 'id-1'}, {})
    raw_task('v1-task-local-times', 'task-v1', 'utc false', {**base, 'utc': False, 'eta': '2030-01-02T03:04:05'}, {})
    raw_task('v1-task-taskset', 'task-v1', 'taskset wins over group', {**base, 'taskset': 'ts-1', 'group': 'g-1'}, {})
    raw_task('v1-task-headers', 'task-v1', 'custom message headers', base, {'X-Foo': 'bar'})
    raw_task('hybrid-task', 'task', 'task header over a mapping', base, {'task': 't.add', 'id': 'id-2'})
    raw_task('hybrid-task-body-id', 'task', 'the id only in the body', base, {'task': 't.add'})
    raw_task('hybrid-task-fields', 'task', 'fields of the body under the headers',
             {**base, 'eta': '2030-01-02T03:04:05', 'retries': 3, 'group': 'g-1', 'callbacks': [dict(add.s(1))]},
             {'task': 't.add', 'id': 'id-2', 'retries': 1, 'X-Foo': 'bar'})
    raw_task('hybrid-task-msgpack', 'task', 'a hybrid in msgpack', base, {'task': 't.add', 'id': 'id-2'}, 'msgpack')
    raw_task('v2-task-minimal', 'task', 'the least a worker takes', [[1, 2], {}, {}], {'task': 't.add', 'id': 'id-1'})
    raw_task('v2-task-null-embed', 'task', 'no embed', [[1, 2], {}, None], {'task': 't.add', 'id': 'id-1'})
    raw_task('v2-task-extra-embed', 'task', 'embed keys nobody knows', [[1], {}, {'foo': 1, 'chain': []}], {'task': 't.add', 'id': 'id-1'})
    raw_task('v2-task-null-headers', 'task', 'headers that are null', [[1, 2], {}, {}], {
        'task': 't.add', 'id': 'id-1', 'timelimit': None, 'retries': None, 'eta': None, 'argsrepr': None,
        'root_id': None, 'group': None, 'ignore_result': None, 'stamped_headers': None, 'stamps': None})
    raw_task('v2-task-5.2', 'task', 'the headers of Celery 5.2', [[1], {}, {}], {
        'lang': 'py', 'task': 't.add', 'id': 'id-1', 'shadow': None, 'eta': None, 'expires': None, 'group': None,
        'group_index': None, 'retries': 0, 'timelimit': [None, None], 'root_id': 'id-1', 'parent_id': None,
        'argsrepr': '(1,)', 'kwargsrepr': '{}', 'origin': 'gen1@host', 'ignore_result': False})
    raw_task('v2-task-missing-stamp', 'task', 'a stamp that is named and not there', [[1], {}, {}],
             {'task': 't.add', 'id': 'id-1', 'stamped_headers': ['gone'], 'stamps': {}})


def retries():
    def again(name, description, sent, **how):
        reset()
        sent()
        original = CAPTURED.pop()
        payload = kombu_json.loads(original)
        message = virtual.Message(payload, channel=virtual.Channel(app.connection_for_write().transport))
        message.accept = {message.content_type}
        request = Request(message, app=app, task=retry, hostname=NODE)
        args, kwargs, embed = message.payload
        context = Context(request.request_dict, called_directly=False, **{**(embed or {}), 'args': args, 'kwargs': kwargs})
        retry.request_stack.push(context)
        _task_stack.push(retry)
        try:
            retry.retry(exc=ValueError('again'), throw=False, **how)
        finally:
            _task_stack.pop()
            retry.request_stack.pop()
        assert len(CAPTURED) == 1, CAPTURED
        sample(name, 'retry', description, original=original, **envelope_fields(CAPTURED[0]))

    send = functools.partial
    again('retry-plain', 'a first retry', send(retry.apply_async, (5,)), countdown=10)
    again('retry-everything', 'limits, stamps, headers, group and follow-ups are kept', send(
        retry.apply_async, (5,), {}, expires=500, time_limit=60, soft_time_limit=50, headers={'X-Foo': 'bar'},
        stamped_headers=['st'], st='v', group_id='g-1', group_index=2, link=add.s(1), link_error=[xsum.s()],
        chain=[add.s(2)], root_id='root-1', priority=4, shadow='sh'), countdown=180)
    again('retry-death', 'the dead-letter trail is dropped', send(
        retry.apply_async, (5,), headers={'x-death': [{'count': 1}], 'x-first-death-queue': 'q', 'k': 1}), countdown=1)
    again('retry-nested-headers', 'nested headers are flattened', send(
        retry.apply_async, (5,), headers={'headers': {'n': 1}, 'zz': 2}), countdown=1)
    again('retry-second', 'a later retry', send(retry.apply_async, (5,), retries=3), countdown=1)
    again('retry-new-args', 'other arguments', send(retry.apply_async, (5,)), args=(6,), kwargs={'y': 1}, countdown=1)
    again('retry-eta', 'a given eta', send(retry.apply_async, (5,)), eta=dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC))
    again('retry-chord', 'a part of a chord', send(
        retry.apply_async, (5,), chord=xsum.s(), group_id='g-1', group_index=0), countdown=1)


def signatures():
    def one(name, description, build):
        reset()
        data = kombu_json.dumps(build())
        sample(f'signature-{name}', 'signature', description, text=data, expected=tag(kombu_json.loads(data)))

    def frozen_chain():
        made = add.s(1, 1) | add.s(10)
        made.freeze()
        return made

    one('task', 'a task', lambda: add.s(1, 2))
    one('kwargs', 'keyword arguments', lambda: add.s(1, y=2))
    one('immutable', 'an immutable task', lambda: add.si(1, 2))
    one('options', 'options', lambda: add.s(1).set(queue='q', countdown=3, priority=4, time_limit=5, headers={'a': 1}))
    one('link', 'callbacks and errbacks', lambda: add.s(1).on_error(xsum.s()).set(link=[add.s(2)]))
    one('typed', 'typed values', lambda: add.s(dt.datetime(2030, 1, 2, tzinfo=UTC), decimal.Decimal('1.5')))
    one('chain', 'a chain', lambda: chain(add.s(1, 1), add.s(10), add.s(100)))
    one('chain-frozen', 'a frozen chain', frozen_chain)
    one('chain-one', 'a chain of one is its task', lambda: chain(add.s(1, 1)))
    one('group', 'a group', lambda: group(add.s(1, 1), add.s(2, 2)))
    one('group-empty', 'a group of nothing', lambda: group())
    one('group-nested', 'a group in a group', lambda: group(group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)))
    one('group-options', 'a group with options', lambda: group(add.s(1, 1)).set(queue='q'))
    one('chord', 'a chord', lambda: chord([add.s(1), add.s(2)], xsum.s()))
    one('chord-group', 'a chord of a group', lambda: chord(group(add.s(1), add.s(2)), xsum.s()))
    one('chord-kwargs', 'a chord with keyword arguments', lambda: chord([add.s(1)], xsum.s(), kwargs={'a': 1}))
    one('chord-chain', 'a group followed by a task is a chord', lambda: group(add.s(1, 1), add.s(2, 2)) | xsum.s())
    one('chain-chord', 'a chord in a chain', lambda: add.s(1, 1) | group(add.s(1), add.s(2)) | xsum.s())
    one('chord-nested', 'a chord in a chord', lambda: chord([chord([add.s(1, 1)], xsum.s()), add.s(2, 2)], xsum.s()))
    one('chain-group', 'a group ends a chain', lambda: add.s(1, 1) | group(add.s(1), add.s(2)))
    one('map', 'a map', lambda: xsum.map([[1, 2], [3]]))
    one('starmap', 'a starmap', lambda: add.starmap([(1, 1), (2, 2)]))
    one('chunks', 'chunks', lambda: add.chunks([(0, 0), (1, 1), (2, 2)], 2))
    one('chunks-group', 'chunks as a group', lambda: add.chunks([(0, 0), (1, 1), (2, 2)], 2).group())
    one('clone', 'a clone', lambda: add.s(1).clone((2,), {'y': 3}, task_id='id-1'))

    class Stamper(StampingVisitor):
        def on_signature(self, sig, **headers):
            return {'tenant': 'acme', 'stamped_headers': ['tenant']}

    def stamped(sig):
        sig.stamp(Stamper())
        return sig

    one('stamped', 'a stamped task', lambda: stamped(add.s(1)))
    one('stamped-chain', 'a stamped chain', lambda: stamped(add.s(1, 1) | add.s(2)))
    one('stamped-group', 'a stamped group', lambda: stamped(group(add.s(1, 1), add.s(2, 2))))
    one('stamped-chord', 'a stamped chord', lambda: stamped(chord([add.s(1)], xsum.s())))

    task_sample('canvas-chain', 'the first step of a chain', lambda: chain(add.s(1, 1), add.s(10), add.s(100)).apply_async())
    task_sample('canvas-group', 'the members of a group', lambda: group(add.s(1, 1), add.s(2, 2), add.s(3, 3)).apply_async())
    task_sample('canvas-nested-group', 'nested groups are flattened', lambda: group(group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)).apply_async())
    task_sample('canvas-chord', 'the header of a chord', lambda: chord([add.s(1, 1), add.s(2, 2)], xsum.s()).apply_async())
    task_sample('canvas-chain-chord', 'a chord in a chain', lambda: (add.s(1, 1) | group(add.s(1), add.s(2)) | xsum.s()).apply_async())
    task_sample('canvas-chunks', 'chunks are starmaps in a group', lambda: add.chunks([(0, 0), (1, 1), (2, 2)], 2).apply_async())
    task_sample('canvas-map', 'a map is one message', lambda: xsum.map([[1, 2], [3]]).apply_async())
    task_sample('canvas-starmap', 'a starmap is one message', lambda: add.starmap([(1, 1)]).apply_async())
    task_sample('canvas-stamped', 'a stamped task', lambda: stamped(add.s(1, 1)).apply_async())


def envelopes():
    def one(name, description, change):
        reset()
        add.apply_async((2, 3))
        payload = json.loads(CAPTURED[0])
        change(payload)
        sample(f'virtual-{name}', 'envelope', description, **envelope_fields(kombu_json.dumps(payload)))

    def plain_body(payload, encoding):
        payload['body'] = base64.b64decode(payload['body']).decode()
        payload['properties'].pop('body_encoding')
        if encoding:
            payload['properties']['body_encoding'] = encoding

    def redelivered(payload):
        # what kombu's Redis transport does in `_do_restore_message`
        payload['headers']['redelivered'] = True
        payload['properties']['delivery_info']['redelivered'] = True

    one('base64', 'as published', lambda payload: None)
    one('utf-8', 'a plain body that says so', lambda payload: plain_body(payload, 'utf-8'))
    one('UTF-8', 'the name in any case', lambda payload: plain_body(payload, 'UTF-8'))
    one('plain', 'a plain body', lambda payload: plain_body(payload, None))
    one('redelivered-redis', 'restored by Redis', redelivered)
    one('redelivered-top', 'restored by another transport', lambda payload: payload.update(redelivered=True))
    one('no-content-encoding', 'content-encoding absent', lambda payload: payload.pop('content-encoding'))
    one('null-priority', 'priority null', lambda payload: payload['properties'].update(priority=None))
    reset()
    with app.producer_pool.acquire() as producer:
        producer.publish('hello', routing_key='q', serializer=None)
        producer.publish(b'\xff\x00', routing_key='q', serializer=None)
        producer.publish('raw', routing_key='q', serializer='raw')
    for name, text in zip(('text', 'bytes', 'raw'), CAPTURED):
        sample(f'virtual-{name}', 'envelope', f'a {name} body without serializer', **envelope_fields(text))


class Custom(Exception):
    """A class that only this module has."""


Custom.__module__ = 'shop.errors'
Custom.__qualname__ = 'Outer.Custom'
TRACEBACK = 'Traceback (most recent call last):\n  File "tasks.py", line 3, in add\nValueError: boom\n'


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

    from celery.backends.rpc import RPCBackend
    rpc = RPCBackend(app=app)
    for name, state, value in (('success', 'SUCCESS', 5), ('failure', 'FAILURE', ValueError('boom')), ('started', 'STARTED', {'pid': 1})):
        data = rpc._to_result('id-1', state, rpc.encode_result(value, state), None, empty)
        _, _, body = kombu.serialization.dumps(data, serializer='json')
        sample(f'rpc-result-{name}', 'rpc-result', f'a result as a message: {name}', serializer='json', body=b64(body), expected=tag(json.loads(body)))


def events():
    def one(name, description, send, groups=None):
        reset()
        with app.connection_for_write() as connection:
            dispatcher = EventDispatcher(connection, hostname=NODE, app=app, buffer_group=groups)
            dispatcher.pid = 22325
            send(functools.partial(dispatcher.send, Event=functools.partial(Event, __now__=lambda: EPOCH)))
            dispatcher.flush()
            text = CAPTURED[0]
        sample(f'event-{name}', 'event', description, **envelope_fields(text))

    uuid = '566bee00-f668-43a9-8ce5-70d9d7398215'
    worker = {'freq': 2.0, 'active': 0, 'processed': 7, 'loadavg': [0.35, 0.33, 0.22],
              'sw_ident': 'py-celery', 'sw_ver': celery.__version__, 'sw_sys': 'Linux'}
    table = {
        'worker-online': worker,
        'worker-heartbeat': worker,
        'worker-offline': worker,
        'worker-elect': {'id': 'e-1', 'topic': 't', 'action': 'a', 'cver': 1},
        'worker-elect-ack': {'id': 'e-1'},
        'task-sent': {'uuid': uuid, 'root_id': uuid, 'parent_id': None, 'name': 't.add', 'args': '(1,)', 'kwargs': '{}',
                      'retries': 0, 'eta': None, 'expires': None, 'queue': 'celery', 'exchange': '', 'routing_key': 'celery'},
        'task-received': {'uuid': uuid, 'name': 't.add', 'args': '(1,)', 'kwargs': '{}', 'root_id': uuid, 'parent_id': None,
                          'retries': 0, 'eta': '2026-11-20T10:14:44.056575+00:00', 'expires': None},
        'task-started': {'uuid': uuid},
        'task-succeeded': {'uuid': uuid, 'result': '3', 'runtime': 7.069499997669482e-05},
        'task-failed': {'uuid': uuid, 'exception': "ValueError('boom')", 'traceback': TRACEBACK},
        'task-retried': {'uuid': uuid, 'exception': "KeyError('again')", 'traceback': TRACEBACK},
        'task-revoked': {'uuid': uuid, 'terminated': True, 'signum': 'SIGTERM', 'expired': False},
        'task-rejected': {'uuid': uuid, 'requeue': False},
        'task-cancelled': {'uuid': uuid},
        'shop-order-placed': {'uuid': uuid, 'order': 17},
    }
    for type_, fields in table.items():
        one(type_, f'the event {type_}', lambda send: send(type_, **fields))
    one('worker-heartbeat-forced', 'the heartbeat after a remote heartbeat command', lambda send: send(
        'worker-heartbeat', freq=5, sw_ident='py-celery', sw_ver=celery.__version__, sw_sys='Linux'))
    one('blind', 'an event without clock', lambda send: send('worker-online', blind=True))
    one('batch-one', 'a list of one', lambda send: send('task-started', uuid=uuid), groups={'task'})
    one('batch-two', 'a list of two', lambda send: (send('task-received', uuid=uuid), send('task-started', uuid=uuid)), groups={'task'})


def control():
    def request(name, description, method, arguments=None, **how):
        reset()
        mailbox = app.control.mailbox(app.connection_for_write())
        reply = how.pop('reply', False)
        if reply:
            how['reply_ticket'] = '5e4c8fbf-c067-4448-ad99-7b08469a44ea'
        mailbox._publish(method, arguments or {}, **how)
        sample(f'control-{name}', 'control-request', description, **envelope_fields(CAPTURED[-1]))

    request('ping', 'with reply', 'ping', reply=True, timeout=1.0)
    request('shutdown', 'without reply', 'shutdown')
    request('timeout', 'with a timeout and no reply', 'heartbeat', timeout=1.0)
    request('destination', 'to one node', 'ping', destination=[NODE], reply=True, timeout=1.0)
    request('glob', 'to nodes by glob', 'ping', pattern='w*@host', matcher='glob')
    request('pcre', 'to nodes by regular expression', 'ping', pattern='w[12]@', matcher='pcre')
    commands = {
        'revoke': {'task_id': 'some-id', 'terminate': False, 'signal': 'SIGTERM'},
        'revoke-many': {'task_id': ['a', 'b'], 'terminate': True, 'signal': 'SIGKILL'},
        'revoke_by_stamped_headers': {'headers': {'k': ['v']}, 'terminate': False, 'signal': None},
        'rate_limit': {'task_name': 't.add', 'rate_limit': '10/m'},
        'time_limit': {'task_name': 't.add', 'hard': 60, 'soft': 50.5},
        'add_consumer': {'queue': 'newq', 'exchange': None, 'exchange_type': 'direct', 'routing_key': None},
        'cancel_consumer': {'queue': 'newq'},
        'pool_grow': {'n': 2},
        'autoscale': {'max': 3, 'min': 1},
        'election': {'id': 'e-1', 'topic': 't', 'action': None},
        'hello': {'from_node': NODE, 'revoked': {'r1': [2054.0, 'r1']}},
        'conf': {'with_defaults': False},
        'active': {'safe': None},
        'query_task': {'ids': ['a', 'b']},
    }
    for name, arguments in commands.items():
        request(name, f'the command {name}', name.split('-')[0], arguments, reply=True, timeout=1.0)

    def reply(name, description, value):
        reset()
        mailbox = app.control.mailbox(app.connection_for_write())
        mailbox._publish_reply({NODE: value}, 'reply.celery.pidbox', OID, '5e4c8fbf-c067-4448-ad99-7b08469a44ea', serializer='json')
        sample(f'control-reply-{name}', 'control-reply', description, **envelope_fields(CAPTURED[-1]))

    reply('pong', 'ok', {'ok': 'pong'})
    reply('error', 'an error', {'error': "KeyError('nope')"})
    reply('null', 'nothing', None)
    reply('list', 'bare data', ['t.add', 't.add [rate_limit=10/m]'])
    reply('hello', 'floats stay floats', {'revoked': {'r1': [2054.0, 'r1']}, 'clock': 88})


def vectors():
    cases = [
        "it's", 'a\\b', 'line\nbreak', 'tab\t', 'ünï', '\U0001f600', '', 0, -1, 2 ** 70, 1.5, -0.0, 1e16, 1e-7, 1e22, 123456789.123,
        float('nan'), float('inf'), float('-inf'), True, False, None, b'', b'abc', b'\xff', 'é'.encode(), b"it's", [], (), {}, set(), frozenset(),
        [1], (1,), (1, 2), {'a': 1}, {1, 2}, frozenset([1]), {'a': [1, (2,)]}, [[[[1]]]], (((1,),),), {'a': {'b': {'c': 1}}},
        {'a': {'b': {}}}, [[[]]], [[set()]], [[{1}]], {1: 'a', None: 'b', True: 'c'}, {(1, 2): 3}, ['x' * 2000], ('y' * 1024,), ['a' * 300] * 10,
        list(range(500)), {str(i): i for i in range(300)}, ['a b c ' * 200], ("it's " * 300,), [b'ab' * 600],
        decimal.Decimal('1.10'), uuid_module.UUID(int=5), dt.datetime(2030, 1, 2, 3, 4, 5), dt.datetime(2030, 1, 2, 3, 4, 5, 6),
        dt.datetime(2030, 1, 2, 0, 0), dt.date(2030, 1, 2), dt.time(3, 4), dt.time(3, 4, 5, 6), [dt.date(2030, 1, 2)],
        {'k': decimal.Decimal('NaN')}, [None, True, [False]], ('a', {'b': ['c', {'d': 'e'}]}),
    ]
    saferepr_cases = []
    for value in cases:
        for maxlen in (1024, 60, 30, 10, 1):
            saferepr_cases.append({'value': tag(value), 'maxlen': maxlen, 'expected': saferepr(value, maxlen)})
    sample('vectors-saferepr', 'vectors', 'celery.utils.saferepr.saferepr(value, maxlen)', cases=saferepr_cases)
    sample('vectors-repr', 'vectors', 'repr(value), of values whose order is fixed', cases=[
        {'value': tag(value), 'expected': repr(value)} for value in cases
        if not isinstance(value, (set, frozenset)) and 'datetime' not in repr(value)])

    moments = []
    for year in (1, 1970, 2024, 2030, 9999):
        for offset in (None, 0, 330, -330, 60, -720, 840):
            for microsecond in (0, 1, 123000, 678901):
                zone = None if offset is None else dt.timezone(dt.timedelta(minutes=offset))
                value = dt.datetime(year, 2, 28, 3, 4, 5, microsecond, tzinfo=zone)
                fields = [value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond]
                moments.append({'fields': fields, 'offsetMinutes': offset, 'expected': value.isoformat()})
    sample('vectors-isoformat', 'vectors', 'datetime.isoformat()', cases=moments)

    from dateutil.parser import isoparse
    parsed = []
    for text in (
            '2030-01-02T03:04:05Z', '2030-01-02T03:04:05.123Z', '2030-01-02 03:04:05', '2030-01-02T03:04', '2030-01-02',
            '20300102T030405', '2030-01-02T03:04:05,5', '2030-01-02T03:04:05+0530', '2030-01-02T03:04:05-05', '2030-W01-2',
            '2030', '2030-01', '2030-01-02T24:00:00', '2030-01-02T03:04:05.1234567', '2030-01-02T03:04:05.678901+00:00',
            'tomorrow', '', '2030-13-01', '2030-02-30', '12', '2030-01-02T25:00:00', '2030-01-02T03:04:05+25:00'):
        try:
            expected = isoparse(text).isoformat()
        except ValueError:
            expected = None
        parsed.append({'text': text, 'expected': expected})
    sample('vectors-isoparse', 'vectors', 'dateutil.parser.isoparse; null is refused', cases=parsed)

    topic = TopicExchange(None)
    keys = ['', 'worker', 'worker.', 'worker.online', 'task.a.b', 'a.b.c', 'a.b.x.c', 'a..c', '.a', 'a.', 'a\n', 'task', 'tasks.x',
            'a.b', 'x.a.b', 'worker-online', 'a+b', 'aaa.b', 'a.c', 'é.x', 'a.b\n', '..']
    bindings = ['#', '*', 'worker.#', 'task.*', 'a.*.c', 'a.#.c', '#.b', '*.*', 'a.*.#', '', 'worker', 'a+b', 'a*.b', 'é.*', 'a.#', '*.#',
                '#.#', 'worker-online', 'a.b', 'a_b', '#.c', 'x#.y']
    sample('vectors-topic', 'vectors', "kombu's topic matching", cases=[
        {'binding': binding, 'pattern': topic.key_to_pattern(binding),
         'matches': [key for key in keys if topic._match(topic.key_to_pattern(binding), key)],
         'others': [key for key in keys if not topic._match(topic.key_to_pattern(binding), key)]}
        for binding in bindings])

    from kombu.matcher import match
    nodes = ['w1@host', 'w2@host', 'celery@a.b', 'w[1]@host', 'W1@host', '']
    sample('vectors-matcher', 'vectors', "kombu's node name matching", cases=[
        {'matcher': matcher, 'pattern': pattern, 'matches': [node for node in nodes if match(node, pattern, matcher)], 'nodes': nodes}
        for matcher, patterns in {
            'glob': ['w*', '*', 'w?@host', 'w[12]@host', 'w[!1]@host', 'w[a-z]@host', '*.b', 'w[[]1]@host', '', 'W*', '[', 'w[1', '**@*', 'w[]1]@*', 'w[!]2]@*', 'w[0-1]@*'],
            'pcre': ['w', 'w[12]@', 'host', '.*host$', '^w1', '(w|celery)', ''],
        }.items() for pattern in patterns])

    clock = kombu.clocks.LamportClock()
    steps = []
    for step, argument in (('forward', None), ('adjust', 5), ('forward', None), ('adjust', 2), ('adjust', 0), ('forward', None), ('adjust', 1000)):
        value = clock.forward() if step == 'forward' else clock.adjust(argument)
        steps.append({'step': step, 'argument': argument, 'expected': value})
    sample('vectors-lamport', 'vectors', 'kombu.clocks.LamportClock', cases=steps)

    timetuple = kombu.clocks.timetuple
    entries = [(clock, stamp, id_) for clock in (None, 0, 1, 2) for stamp in (1.0, 2.0) for id_ in ('a', 'b')]
    sample('vectors-timetuple', 'vectors', 'whether the first of two events comes before the second', cases=[
        {'a': list(a), 'b': list(b), 'expected': timetuple(*a) < timetuple(*b)} for a in entries for b in entries])

    from celery import states
    names = ['SUCCESS', 'FAILURE', 'PROGRESS', 'REVOKED', 'STARTED', 'RECEIVED', 'REJECTED', 'RETRY', 'PENDING', 'IGNORED']
    sample('vectors-states', 'vectors', 'celery.states', cases=[
        {'state': name, 'precedence': states.precedence(name), 'ready': name in states.READY_STATES,
         'unready': name in states.UNREADY_STATES, 'exception': name in states.EXCEPTION_STATES,
         'propagate': name in states.PROPAGATE_STATES, 'all': name in states.ALL_STATES} for name in names])

    import types
    from celery.utils.time import utcoffset
    offsets = []
    for minutes_east in (0, 60, 120, 330, 345, -300, -210, -720, 840, 1):
        clock_module = types.SimpleNamespace(timezone=-minutes_east * 60, altzone=-minutes_east * 60)
        offsets.append({'minutesWest': -minutes_east, 'expected': utcoffset(clock_module, lambda: types.SimpleNamespace(tm_isdst=0))})
    sample('vectors-utcoffset', 'vectors', 'celery.utils.time.utcoffset', cases=offsets)

    from celery.app.task import Context as TaskContext
    sample('vectors-context', 'vectors', 'names that are never custom headers', cases=sorted(
        {*TaskContext.__dict__.keys(), 'lang', 'task', 'argsrepr', 'kwargsrepr', 'compression'}))


def main():
    for record in (task_messages, hybrids, retries, signatures, envelopes, results, events, control, vectors):
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
