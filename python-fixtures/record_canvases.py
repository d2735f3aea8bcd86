"""Every message that a canvas sends, what it tells the result backend, and the tree of its results."""
import base64
import json
import tempfile

from celery import chain, chord, group
from celery.canvas import StampingVisitor
from kombu.utils import json as kombu_json

from recording import CAPTURED, app, make_app, reset, sample


class Visitor(StampingVisitor):
    """Says what it was shown."""

    def on_signature(self, sig, **headers):
        return {'task': sig.task}

    def on_group_start(self, group, **headers):
        return {'in_group': True}

    def on_chain_start(self, chain, **headers):
        return {'in_chain': True}

    def on_chord_body(self, chord, **headers):
        return {'in_body': True}

    def on_callback(self, callback, **headers):
        return {'callback': True}

    def on_errback(self, errback, **headers):
        return {'errback': True}


def linked(signature, callback):
    signature.link(callback)
    return signature


def stamped(signature, *args, **kwargs):
    signature.stamp(*args, **kwargs)
    return signature


def errback_on(signature, errback):
    signature.link_error(errback)
    return signature


def nested_body(depth, add, xsum):
    body = xsum.s()
    for _ in range(depth):
        body = chord([add.s(1), add.s(2)], body)
    return body


def canvases(add, xsum, retry):
    """By name, each a function that sends one; src/app/canvas-messages.test.ts builds the same ones."""
    return {
        'task-linked': lambda: linked(add.s(1, 1), add.s(2)).apply_async(),
        'task-linked-chain': lambda: linked(add.s(1, 1), add.s(2) | add.s(3)).apply_async(),
        'task-on-error': lambda: add.s(1, 1).on_error(xsum.s()).apply_async(),
        'chain': lambda: chain(add.s(1, 1), add.s(10), add.s(100)).apply_async(),
        'chain-partial': lambda: chain(add.s(1), add.s(10)).apply_async((5,)),
        'chain-kwargs': lambda: chain(add.s(1), add.s(10)).apply_async((), {'y': 7}),
        'chain-immutable-first': lambda: chain(add.si(1, 1), add.s(10)).apply_async((5,)),
        'chain-id': lambda: chain(add.s(1, 1), add.s(10)).apply_async(task_id='the-id-of-the-chain'),
        'chain-options': lambda: chain(add.s(1, 1), add.s(2).set(queue='slow', priority=3)).apply_async(
            queue='quick', countdown=10, priority=5),
        'chain-links': lambda: chain(add.s(1, 1), add.s(2)).apply_async(
            link=add.s(3), link_error=xsum.s()),
        'chain-link-inner': lambda: chain(add.s(1, 1), linked(add.s(2) | add.s(3), xsum.s())).apply_async(),
        'chain-on-error': lambda: (add.s(1, 1) | add.s(2)).on_error(xsum.s()).apply_async(),
        'chain-one': lambda: chain([add.s(1, 1)]).apply_async(),
        'chain-of-a-chain': lambda: chain(chain(add.s(1, 1), add.s(2)), chain(add.s(3), add.s(4))).apply_async(),
        'chain-single-argument': lambda: chain(group(add.s(1, 1), add.s(2, 2))).apply_async(),
        'chain-group': lambda: (add.s(1, 1) | group(add.s(2), add.s(3))).apply_async(),
        'chain-group-of-one': lambda: (add.s(1, 1) | group([add.s(2)]) | add.s(3)).apply_async(),
        'chain-group-task': lambda: (add.s(1, 1) | group(add.s(2), add.s(3)) | xsum.s()).apply_async(),
        'chain-group-group': lambda: (add.s(1, 1) | group(add.s(2), add.s(3)) | group(xsum.s(), xsum.s())).apply_async(),
        'chain-group-group-task': lambda: (
            add.s(1, 1) | group(add.s(2), add.s(3)) | group(xsum.s(), xsum.s()) | xsum.s()).apply_async(),
        'chain-group-task-task': lambda: (
            add.s(1, 1) | group(add.s(2), add.s(3)) | xsum.s() | add.s(4)).apply_async(),
        'chain-group-task-group': lambda: (
            group(add.s(1, 1), add.s(2, 2)) | xsum.s() | add.s(1) | group(add.s(3), add.s(4))).apply_async(),
        'chain-chord-chord': lambda: chain(
            chord([add.s(1, 1)], xsum.s()), chord([add.s(2), add.s(3)], xsum.s())).apply_async(),
        'chain-of-starting-group': lambda: chain(group(add.s(1), add.s(2)), xsum.s(), add.s(3)).apply_async((9,)),
        'chain-map': lambda: chain(add.s(1, 1), xsum.map([[1, 2], [3]])).apply_async(),
        'chain-chunks': lambda: chain(add.s(1, 1), add.chunks([(0, 0), (1, 1), (2, 2)], 2)).apply_async(),
        'group': lambda: group(add.s(1, 1), add.s(2, 2), add.s(3, 3)).apply_async(),
        'group-empty': lambda: group([]).apply_async(),
        'group-of-one': lambda: group([add.s(1, 1)]).apply_async(),
        'group-partial': lambda: group(add.s(), add.si(2, 2)).apply_async((5,), {'y': 1}),
        'group-options': lambda: group(add.s(1, 1), add.s(2, 2).set(queue='slow')).apply_async(
            task_id='the-id-of-the-group', queue='quick', priority=4),
        'group-nested': lambda: group(add.s(1, 1), group(add.s(2, 2), add.s(3, 3)), add.s(4, 4)).apply_async(),
        'group-of-chains': lambda: group(add.s(1, 1) | add.s(2), add.s(3, 3)).apply_async(),
        'group-of-chords': lambda: group(chord([add.s(1, 1), add.s(2, 2)], xsum.s()), add.s(3, 3)).apply_async(),
        'group-of-chain-with-group': lambda: group(add.s(1, 1) | group(add.s(2), add.s(3)), add.s(3, 3)).apply_async(),
        'group-of-a-chain-with-group': lambda: group([add.s(1, 1) | group(add.s(2), add.s(3))]).apply_async(),
        'group-linked': lambda: linked(group(add.s(1, 1), add.s(2, 2)), add.s(3)).apply_async(),
        'group-on-error': lambda: errback_on(group(add.s(1, 1), add.s(2, 2)), xsum.s()).apply_async(),
        'group-skew': lambda: group(add.s(1, 1), add.s(2, 2), add.s(3, 3)).skew(start=1, stop=10).apply_async(),
        'chord': lambda: chord([add.s(1, 1), add.s(2, 2)], xsum.s()).apply_async(),
        'chord-called': lambda: chord([add.s(1, 1), add.s(2, 2)])(xsum.s()),
        'chord-empty': lambda: chord([], xsum.s()).apply_async(),
        'chord-one': lambda: chord([add.s(1, 1)], xsum.s()).apply_async(),
        'chord-group-or': lambda: (group([add.s(1, 1)]) | xsum.s()).apply_async(),
        'chord-id': lambda: chord([add.s(1, 1), add.s(2, 2)], xsum.s()).apply_async(task_id='the-id-of-the-body'),
        'chord-partial': lambda: chord([add.s(), add.si(2)], xsum.s()).apply_async((5,), {'y': 1}),
        'chord-options': lambda: chord([add.s(1, 1), add.s(2, 2)], xsum.s()).apply_async(queue='quick', priority=4),
        'chord-body-queue': lambda: chord([add.s(1, 1)], xsum.s().set(queue='slow', priority=7)).apply_async(),
        'chord-of-a-chain': lambda: chord(chain(add.s(1, 1), add.s(2, 2)), xsum.s()).apply_async(),
        'chord-of-chains': lambda: chord([add.s(1, 1) | add.s(2), add.s(3, 3)], xsum.s()).apply_async(),
        'chord-of-groups': lambda: chord([group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)], xsum.s()).apply_async(),
        'chord-of-chords': lambda: chord(
            [chord([add.s(1, 1)], xsum.s()), add.s(2, 2)], xsum.s()).apply_async(),
        'chord-of-chain-with-group': lambda: chord(
            [add.s(1, 1) | group(add.s(2), add.s(3)), add.s(4, 4)], xsum.s()).apply_async(),
        'chord-of-chain-with-chord': lambda: chord(
            [add.s(1, 1) | group(add.s(2), add.s(3)) | xsum.s(), add.s(4, 4)], xsum.s()).apply_async(),
        'chord-body-chain': lambda: chord([add.s(1, 1), add.s(2, 2)], xsum.s() | add.s(3)).apply_async(),
        'chord-body-group': lambda: chord([add.s(1, 1), add.s(2, 2)], group(xsum.s(), xsum.s())).apply_async(),
        'chord-body-chord': lambda: chord(
            [add.s(1, 1), add.s(2, 2)], chord([add.s(3), add.s(4)], xsum.s())).apply_async(),
        'chord-body-deep': lambda: chord([add.s(1, 1)], nested_body(3, add, xsum)).apply_async(),
        'chord-task': lambda: (chord([add.s(1, 1), add.s(2, 2)], xsum.s()) | add.s(3)).apply_async(),
        'chord-chord': lambda: (
            chord([add.s(1, 1)], xsum.s()) | chord([add.s(2), add.s(3)], xsum.s())).apply_async(),
        'chord-group': lambda: (chord([add.s(1, 1)], xsum.s()) | group(add.s(2), add.s(3))).apply_async(),
        'chord-linked': lambda: linked(chord([add.s(1, 1)], xsum.s()), add.s(3)).apply_async(),
        'chord-on-error': lambda: errback_on(chord([add.s(1, 1)], xsum.s()), add.s(3)).apply_async(),
        'chord-generator': lambda: chord((add.s(i, i) for i in range(4)), xsum.s()).apply_async(),
        'group-generator': lambda: group(add.s(i, i) for i in range(4)).apply_async(),
        'map': lambda: xsum.map([[1, 2], [3]]).apply_async(),
        'starmap': lambda: add.starmap([(1, 1), (2, 2)]).apply_async(),
        'chunks': lambda: add.chunks([(0, 0), (1, 1), (2, 2)], 2).apply_async(),
        'chunks-group-chord': lambda: (add.chunks([(0, 0), (1, 1), (2, 2)], 2).group() | xsum.s()).apply_async(),
        'map-in-group': lambda: group(xsum.map([[1, 2]]), add.s(1, 1)).apply_async(),
        'stamp-task': lambda: stamped(add.s(1, 1), tenant='acme', tries=[1, 2]).apply_async(),
        'stamp-twice': lambda: stamped(stamped(add.s(1, 1), tenant='acme'), tenant='other').apply_async(),
        'stamp-append': lambda: stamped(
            stamped(add.s(1, 1), tenant='acme'), append_stamps=True, tenant='other').apply_async(),
        'stamp-linked': lambda: stamped(
            linked(add.s(1, 1), add.s(2)).on_error(xsum.s()), Visitor(), tenant='acme').apply_async(),
        'stamp-chain': lambda: stamped(add.s(1, 1) | add.s(2), Visitor()).apply_async(),
        'stamp-group': lambda: stamped(group(add.s(1, 1), add.s(2, 2) | add.s(3)), Visitor()).apply_async(),
        'stamp-chord': lambda: stamped(chord([add.s(1, 1), add.s(2, 2)], xsum.s()), Visitor()).apply_async(),
        'stamp-chord-plain': lambda: stamped(chord([add.s(1, 1)], xsum.s()), tenant='acme').apply_async(),
        'protocol-stamps-in-chain': lambda: stamped(
            add.s(1, 1) | group(add.s(2), add.s(3)) | xsum.s(), tenant='acme').apply_async(),
        'freeze-chain': lambda: frozen_twice(add.s(1, 1) | add.s(2)),
    }


def frozen_twice(signature):
    signature.freeze()
    signature.apply_async()
    return signature.apply_async()


def opened(text):
    message = json.loads(text)
    info = message['properties'].pop('delivery_info')
    return {
        'to': [info['exchange'], info['routing_key']],
        'headers': message['headers'],
        'properties': message['properties'],
        'body': json.loads(base64.b64decode(message['body'])),
    }


def record(made, prefix, told, only=None):
    names = canvases(*(made.tasks[name] for name in ('t.add', 't.xsum', 't.retry')))
    for name, send in names.items():
        if only is not None and name not in only:
            continue
        reset()
        told.clear()
        result = send()
        sample(
            f'{prefix}{name}', 'canvas', f'all that the canvas {name} sends',
            messages=[opened(text) for text in CAPTURED],
            told=[list(one) for one in told],
            result=None if result is None else json.loads(kombu_json.dumps(result.as_tuple())),
        )


def canvas_messages():
    """On a backend that counts the parts of a chord, as Redis does, and on one that leaves it to celery.chord_unlock."""
    told = []
    counting = make_app()
    backend = counting.backend
    backend.apply_chord = lambda header_result_args, body, **kwargs: saved(counting, header_result_args, told)
    backend.set_chord_size = lambda group_id, size: told.append(('size', str(group_id), size))
    record(counting, 'canvas-sent-', told)

    with tempfile.TemporaryDirectory() as folder:
        polling = make_app(result_backend=f'file://{folder}')
        names = ('chord', 'chord-body-queue', 'chord-of-groups', 'chord-of-chords', 'chord-body-chain', 'group')
        record(polling, 'canvas-unlock-', [], names)
    app.set_current()


def saved(counting, header_result_args, told):
    """RedisBackend.apply_chord, saying what it saves."""
    from celery.backends.redis import RedisBackend
    from celery.result import GroupResult

    def save(self, backend=None):
        told.append(('saved', str(self.id), json.loads(kombu_json.dumps(self.as_tuple()))))

    original, GroupResult.save = GroupResult.save, save
    try:
        fake = RedisBackend.__new__(RedisBackend)
        fake.app = counting
        RedisBackend.apply_chord(fake, header_result_args, None)
    finally:
        GroupResult.save = original
