"""Signatures of every kind, the messages of canvases, and the forms of the virtual envelope."""
import base64
import datetime as dt
import decimal
import json

from celery import chain, chord, group
from celery.canvas import StampingVisitor
from kombu.utils import json as kombu_json

from recording import CAPTURED, UTC, add, app, envelope_fields, reset, sample, tag, task_sample, xsum


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
