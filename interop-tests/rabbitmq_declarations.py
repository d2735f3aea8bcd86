"""Declares with Celery and kombu what rabbitmq-declarations.test.ts declares, and sends and receives there.

argv: broker URL, what to do. Prints one JSON document.
"""
import json
import sys

from celery import Celery
from kombu import Exchange, Queue
from kombu.pidbox import Mailbox
from kombu.transport.native_delayed_delivery import (
    bind_queue_to_native_delayed_delivery_exchange,
    declare_native_delayed_delivery_exchanges_and_queues,
)

url, what = sys.argv[1:3]
topic = Exchange('orders', type='topic')
app = Celery('peer', broker=url)
app.conf.update(
    task_queue_max_priority=9,
    task_default_queue='plain',
    control_queue_expires=600,
    task_queues=[
        Queue('plain'),
        Queue('urgent', routing_key='urgent', max_priority=5),
        Queue('short', Exchange('short'), routing_key='short', expires=60, message_ttl=5.5, max_length=7),
        Queue('orders', topic, routing_key='orders.#'),
        Queue('all', Exchange('all', type='fanout')),
        Queue('typed', Exchange('typed', type='headers'), binding_arguments={'x-match': 'any', 'kind': 'a'}),
        Queue('dead', queue_arguments={'x-dead-letter-exchange': 'all', 'x-dead-letter-routing-key': 'k'}),
    ],
)
quorum = Celery('quorum', broker=url)
quorum.conf.update(
    task_default_queue='q.big',
    task_default_exchange='big',
    task_default_exchange_type='topic',
    task_default_routing_key='big',
    task_default_queue_type='quorum',
)


def declare():
    with app.connection() as connection:
        channel = connection.default_channel
        for each in app, quorum:
            for queue in each.amqp.queues.values():
                queue(channel).declare()
        queue = quorum.amqp.queues['q.big']
        declare_native_delayed_delivery_exchanges_and_queues(connection, 'quorum')
        bind_queue_to_native_delayed_delivery_exchange(connection, queue)
        app.amqp.queues['made'](channel).declare()
        mailbox = app.control.mailbox(connection)
        mailbox.Node('w@h').channel = channel
        mailbox.get_queue('w@h')(channel).declare()
        mailbox.get_reply_queue()(channel).declare()
        app.events.Receiver(channel).queue(channel).declare()


if what == 'declare':
    declare()
    print(json.dumps('declared'))
elif what == 'delay':
    # as a producer of Celery sends it: delayed by the broker
    sent = quorum.send_task('t.later', ('python',), countdown=1, headers={'big': 2**40, 'n': -1})
    print(json.dumps(sent.id))
elif what == 'get':
    with app.connection() as connection:
        from kombu.simple import SimpleQueue

        got = SimpleQueue(connection, quorum.amqp.queues['q.big']).get(timeout=10)
        got.ack()
        print(json.dumps({'headers': {k: got.headers[k] for k in ('task', 'big', 'n')}, **got.delivery_info}, default=str))
