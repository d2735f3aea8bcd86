"""Events, and requests and replies of remote control."""
import functools

import celery
from celery.events.dispatcher import EventDispatcher
from celery.events.event import Event

from recording import CAPTURED, EPOCH, NODE, OID, TRACEBACK, app, envelope_fields, reset, sample


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
