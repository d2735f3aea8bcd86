"""Kombu on a Redis broker, for redis-transport.test.ts: one job per process, one line per message."""

import json
import os
import socket
import sys
import time

import kombu

job, url, options, queue, *rest = sys.argv[1:]
options = json.loads(options)


def say(text):
    print(text, flush=True)


def drain_until(connection, is_done, timeout=0.2):
    while not is_done():
        try:
            connection.drain_events(timeout=timeout)
        except socket.timeout:
            pass


with kombu.Connection(url, transport_options=options) as connection:
    bound = kombu.Queue(queue, kombu.Exchange(queue, "direct"), routing_key=queue)
    if job == "publish":
        name, count = rest[0], int(rest[1])
        priorities = [int(each) for each in rest[2:]] or [0]
        with connection.Producer() as producer:
            for index in range(count):
                priority = priorities[index % len(priorities)]
                producer.publish(
                    f"{name}-{index}", exchange="", routing_key=queue, serializer="json", priority=priority
                )
        say("done")
    elif job == "consume":
        stop = rest[0]

        def on_message(body, message):
            say(f"{body} redelivered" if message.delivery_info.get("redelivered") else body)
            message.ack()

        channel = connection.channel()
        channel.basic_qos(0, 1, False)
        with kombu.Consumer(channel, [bound], callbacks=[on_message], accept=["json"]):
            say("ready")
            drain_until(connection, lambda: os.path.exists(stop))
    elif job == "hold":
        # Takes what it is told to take, acknowledges nothing, and waits to be killed.
        held = []
        with connection.Consumer([bound], callbacks=[lambda body, message: held.append(body)], accept=["json"]):
            drain_until(connection, lambda: len(held) >= int(rest[0]))
            for body in held:
                say(body)
            say("holding")
            time.sleep(600)
    elif job == "leave":
        # The same, but leaves in order: kombu puts back what it held.
        held = []
        with connection.Consumer([bound], callbacks=[lambda body, message: held.append(body)], accept=["json"]):
            drain_until(connection, lambda: len(held) >= int(rest[0]))
        say("done")
    elif job == "listen":
        # A queue on a fanout exchange, until the message "stop".
        exchange = kombu.Exchange(rest[0], "fanout")
        heard = []

        def on_fanout(body, message):
            heard.append(body)
            say(body)
            message.ack()

        mine = kombu.Queue(queue, exchange, routing_key=rest[1], auto_delete=True)
        with connection.Consumer([mine], callbacks=[on_fanout], accept=["json"]):
            say("ready")
            drain_until(connection, lambda: "stop" in heard)
    elif job == "fanout":
        exchange = kombu.Exchange(rest[0], "fanout")
        with connection.Producer() as producer:
            for routing_key in rest[1:]:
                producer.publish(
                    f"to {routing_key}", exchange=exchange, routing_key=routing_key, declare=[exchange], serializer="json"
                )
        say("done")
    elif job == "route":
        # Declares a queue on an exchange of a type, then publishes with each routing key.
        exchange = kombu.Exchange(rest[0], rest[1])
        kombu.Queue(queue, exchange, routing_key=rest[2])(connection.channel()).declare()
        with connection.Producer() as producer:
            for routing_key in rest[3:]:
                producer.publish(
                    routing_key, exchange=exchange, routing_key=routing_key, declare=[exchange], serializer="json"
                )
        say("done")
