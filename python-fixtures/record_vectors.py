"""Many small cases in one file each: reprs, times, topics, matchers, clocks, states."""
import codecs
import datetime as dt
import decimal
import types
import uuid as uuid_module

import kombu.clocks
from amqp.basic_message import Message
from celery import states
from celery.app.task import Context
from celery.utils.saferepr import saferepr
from celery.utils.time import utcoffset
from dateutil.parser import isoparse
from kombu.exceptions import DecodeError
from kombu.matcher import match
from kombu.serialization import loads
from kombu.transport.virtual.exchange import TopicExchange

from recording import b64, sample, tag


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

    names = ['SUCCESS', 'FAILURE', 'PROGRESS', 'REVOKED', 'STARTED', 'RECEIVED', 'REJECTED', 'RETRY', 'PENDING', 'IGNORED']
    sample('vectors-states', 'vectors', 'celery.states', cases=[
        {'state': name, 'precedence': states.precedence(name), 'ready': name in states.READY_STATES,
         'unready': name in states.UNREADY_STATES, 'exception': name in states.EXCEPTION_STATES,
         'propagate': name in states.PROPAGATE_STATES, 'all': name in states.ALL_STATES} for name in names])

    offsets = []
    for minutes_east in (0, 60, 120, 330, 345, -300, -210, -720, 840, 1):
        clock_module = types.SimpleNamespace(timezone=-minutes_east * 60, altzone=-minutes_east * 60)
        offsets.append({'minutesWest': -minutes_east, 'expected': utcoffset(clock_module, lambda: types.SimpleNamespace(tm_isdst=0))})
    sample('vectors-utcoffset', 'vectors', 'celery.utils.time.utcoffset', cases=offsets)

    sample('vectors-context', 'vectors', 'names that are never custom headers', cases=sorted(
        {*Context.__dict__.keys(), 'lang', 'task', 'argsrepr', 'kwargsrepr', 'compression'}))

    sample('vectors-amqp-properties', 'vectors', 'content headers that py-amqp writes, from their flags on; times as seconds', cases=[
        {'bytes': b64(Message(b'', **properties)._serialize_properties()), 'expected': plain(properties)} for properties in _properties()])
    sample('vectors-encodings', 'vectors', 'kombu.serialization.loads(body, content_type, content_encoding); null is refused', cases=[
        {'contentType': content_type, 'encoding': encoding, 'body': b64(body), 'expected': _loaded(body, content_type, encoding)}
        for content_type, encoding, body in _encoded()])
    sample('vectors-bytes', 'vectors', 'each byte alone in encodings of one byte; null is refused', cases=[
        {'encoding': encoding, 'expected': [_loaded(bytes([byte]), 'application/data', encoding) for byte in range(256)]}
        for encoding in ONE_BYTE])


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return int(value.timestamp())
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value


def _properties():
    task_id = str(uuid_module.UUID(int=7))
    headers = {
        'lang': 'py', 'task': 't.add', 'id': task_id, 'shadow': None, 'eta': None, 'expires': None, 'group': None, 'group_index': None,
        'retries': 0, 'timelimit': [None, None], 'root_id': task_id, 'parent_id': None, 'argsrepr': '(1, 2)', 'kwargsrepr': '{}',
        'origin': 'gen1@host', 'ignore_result': False, 'replaced_task_nesting': 0, 'stamped_headers': None, 'stamps': {}}
    usual = {'content_type': 'application/json', 'content_encoding': 'utf-8', 'delivery_mode': 2, 'priority': 0,
             'correlation_id': task_id, 'reply_to': 'r'}
    yield {**usual, 'application_headers': headers}
    yield {**usual, 'application_headers': {**headers, 'argsrepr': "('é😀',)", 'timelimit': [10, 2.5], 'mine': 'x' * 300}}
    yield {**usual, 'application_headers': {name: headers[name] for name in headers if name not in ('ignore_result', 'stamps')}}
    yield {**usual, 'application_headers': dict(reversed(headers.items()))}
    yield {'application_headers': {}}
    yield {'content_type': 'application/json', 'delivery_mode': 1}
    yield {'priority': 9, 'expiration': '100', 'message_id': 'm', 'timestamp': 1893553445, 'type': 't', 'user_id': 'guest',
           'app_id': 'a', 'application_headers': {
               'ints': [0, -1, 2 ** 31 - 1, -2 ** 31, 2 ** 31, 2 ** 32, -2 ** 40, 2 ** 53 - 1], 'floats': [0.5, -1e300], 'yes': True, 'no': False,
               'when': dt.datetime(2030, 1, 2, 3, 4, 5), 'price': decimal.Decimal('1.99'),
               'deep': {'list': [{'a': [None, True]}, []], 'table': {}}, '': '', 'ключ': 'значение'}}


ONE_BYTE = ['ascii', 'latin-1', *(f'iso-8859-{n}' for n in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15)), 'koi8-r',
            *(f'cp{n}' for n in (1250, 1251, 1252, 1254, 1256, 1257, 1258)), 'mac-roman', 'mac-cyrillic']


def _loaded(body, content_type, encoding):
    try:
        return loads(body, content_type, encoding, accept={content_type})
    except DecodeError:
        return None


def _encoded():
    text = '[1, "é\U0001f600"]'
    for encoding in ('utf-8', 'UTF8', 'utf-8-sig', 'utf-16', 'UTF_16', 'utf-16-le', 'utf-16-be', 'utf-32', 'utf-32-le', 'utf-32-be'):
        for content_type in ('text/plain', 'application/data', 'application/json', 'application/x-yaml'):
            yield content_type, encoding, text.encode(encoding)
    # a mark that the name does not ask for stays; one that it allows for may be of the other order, or be missing
    for mark, order in ((codecs.BOM_UTF16_LE, 'utf-16-le'), (codecs.BOM_UTF16_BE, 'utf-16-be'), (codecs.BOM_UTF32_BE, 'utf-32-be'), (b'', 'utf-16-le')):
        body = mark + 'né'.encode(order)
        yield 'text/plain', order, body
        yield 'text/plain', order[:6], body
    for encoding in ('utf-16', 'utf-16-le', 'utf-32', 'utf-32-be'):
        for body in (b'abc', b'\x00\xd8a\x00', b'\x00\x00\xd8\x00', b'\xff\xff\xff\xff'):
            yield 'text/plain', encoding, body
    for encoding, words in (
            ('shift_jis', '日本語'), ('euc-jp', '日本語'), ('gbk', '中文'), ('gb18030', '中文😀'), ('big5', '中文'), ('euc_kr', '한국어'),
            ('iso8859-15', '€'), ('latin2', 'ł'), ('windows-1252', '€'), ('cp1251', 'привет'), ('us-ascii', 'a')):
        yield 'text/plain', encoding, words.encode(encoding)
    for encoding in ('binary', 'ascii-8bit'):
        yield 'application/json', encoding, b'[1]'
