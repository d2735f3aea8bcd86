"""Sends what it is told to with real Celery over kombu's memory transport, and decodes what both sides wrote."""
import base64
import json
import sys
from datetime import datetime

from celery import Celery
from kombu import Exchange, Queue
from kombu.compression import decompress
from kombu.serialization import loads
from kombu.transport.memory import Channel


def queue_of(spec):
    exchange = spec.get('exchange')
    return Queue(
        spec['name'],
        Exchange(exchange['name'], type=exchange['type']) if exchange else None,
        routing_key=spec.get('routing_key', ''),
    )


def opened(message):
    body = base64.b64decode(message['body'])
    compression = message['headers'].get('compression')
    if compression:
        body = decompress(body, compression)
    return loads(body, message['content-type'], message['content-encoding'], force=True)


def plain(message):
    return json.loads(json.dumps({
        'body': opened(message),
        'headers': message['headers'],
        'properties': {k: v for k, v in message['properties'].items() if k not in ('delivery_tag', 'body_encoding')},
        'content-type': message['content-type'],
        'content-encoding': message['content-encoding'],
    }))


published = []
deliver = Channel.basic_publish


def recorded(self, message, exchange, routing_key, **kwargs):
    """What is published to an exchange without bindings reaches no queue: keep it on its way."""
    result = deliver(self, message, exchange, routing_key, **kwargs)
    published.append(message)
    return result


Channel.basic_publish = recorded


def sent(app, case):
    published.clear()
    args = tuple(case['args']) if case['tuple'] else case['args']
    options = dict(case['options'])
    if app.conf.task_protocol == 1 and 'eta' in options:
        options['eta'] = datetime.fromisoformat(options['eta'])  # protocol 1 takes no text
    app.send_task(case['name'], args, case['kwargs'], **options)
    [message] = published
    return plain(message)


def main():
    answers = []
    for group in json.load(sys.stdin):
        settings = dict(group['settings'])
        if 'task_queues' in settings:
            settings['task_queues'] = [queue_of(spec) for spec in settings['task_queues']]
        app = Celery('identity', broker='memory://', set_as_current=False)
        app.conf.update(settings)
        for case in group['cases']:
            answers.append({'celery': sent(app, case), 'ours': plain(case['ours'])})
    json.dump(answers, sys.stdout)


main()
