"""Holds still what differs from run to run, captures what Celery publishes, and describes values as tagged JSON."""
import base64
import datetime as dt
import decimal
import json
import sys
import uuid as uuid_module

import celery
import celery.app.amqp
import kombu
import kombu.clocks
import kombu.common
import kombu.pidbox
import kombu.serialization
import kombu.utils.uuid
from celery import Celery
from kombu.transport.virtual import base as virtual
from kombu.utils import json as kombu_json

VERSIONS = {'celery': celery.__version__, 'kombu': kombu.__version__}
UTC = dt.timezone.utc
NOW = dt.datetime(2026, 11, 20, 10, 11, 12, 461372, tzinfo=UTC)
EPOCH = 1795169681.647785
OID = '98027ac8-ecb3-3239-bdb8-3bce4aa7c684'
TAG = '2dbbb822-eeeb-4329-8329-8c1c77bfc3c1'
NODE = 'w1@host'
TRACEBACK = 'Traceback (most recent call last):\n  File "tasks.py", line 3, in add\nValueError: boom\n'

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
