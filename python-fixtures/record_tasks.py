"""Task messages: protocol 2 with every option, protocol 1, hybrids and retries."""
import datetime as dt
import functools

import celery.app.amqp
from celery import group
from celery._state import _task_stack
from celery.app.task import Context
from celery.worker.request import Request
from celery.worker.strategy import hybrid_to_proto2, proto1_to_proto2
from kombu.transport.virtual import base as virtual
from kombu.utils import json as kombu_json

from recording import CAPTURED, NODE, NOW, TYPED, UTC, add, app, envelope_fields, reset, retry, sample, task_sample, xsum


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
    """A message nobody sends today, published with kombu, and shown to be one that Celery's worker takes."""
    reset()
    with app.producer_pool.acquire() as producer:
        producer.publish(body, serializer=serializer, headers=headers, routing_key='celery',
                         correlation_id='id-1', reply_to='')
    assert_accepted(CAPTURED[0])
    sample(name, kind, description, **envelope_fields(CAPTURED[0]))


def assert_accepted(text):
    """Makes a worker's request of the message, as `celery.worker.strategy.default` does; raises where it would."""
    message = virtual.Message(kombu_json.loads(text), channel=virtual.Channel(app.connection_for_write().transport))
    message.accept = {message.content_type}
    payload = message.payload
    if 'args' in payload:
        convert = hybrid_to_proto2 if 'task' in message.headers else proto1_to_proto2
        body, headers, decoded, utc = convert(message, payload)
    elif 'task' not in message.headers:
        body, headers, decoded, utc = proto1_to_proto2(message, payload)
    else:
        body, headers, decoded, utc = message.body, message.headers, False, True
    Request(message, app=app, task=add, hostname=NODE, body=body, headers=headers, decoded=decoded, utc=utc)


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
