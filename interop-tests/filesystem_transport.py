"""Kombu on a filesystem broker, for filesystem-transport.test.ts: one job per process, one line per message."""

import os
import socket
import sys

import kombu

job, folder, queue, *rest = sys.argv[1:]
options = {
    "data_folder_in": folder,
    "data_folder_out": folder,
    "control_folder": os.path.join(folder, "control"),
    "polling_interval": 0.05,
}


def say(text):
    print(text, flush=True)


with kombu.Connection("filesystem://", transport_options=options) as connection:
    if job == "publish":
        name, count = rest[0], int(rest[1])
        with connection.Producer() as producer:
            for index in range(count):
                producer.publish(f"{name}-{index}", exchange="", routing_key=queue, serializer="json")
        say("done")
    elif job == "consume":
        stop = rest[0]

        def on_message(body, message):
            say(body)
            message.ack()

        bound = kombu.Queue(queue, kombu.Exchange(queue, "direct"), routing_key=queue)
        with connection.Consumer([bound], callbacks=[on_message], accept=["json"]):
            say("ready")
            while not os.path.exists(stop):
                try:
                    connection.drain_events(timeout=0.2)
                except socket.timeout:
                    pass
    elif job == "bind":
        exchange = kombu.Exchange(rest[0], rest[1])
        channel = connection.channel()
        for index in range(int(rest[2])):
            kombu.Queue(f"{queue}-{index}", exchange, routing_key="key")(channel).declare()
        say("done")
    elif job == "fanout":
        exchange = kombu.Exchange(rest[0], "fanout")
        with connection.Producer() as producer:
            producer.publish("to all", exchange=exchange, routing_key="", declare=[exchange], serializer="json")
        say("done")
    elif job == "hold":
        # Takes all there is, acknowledges nothing, and leaves in order: kombu puts back what it held.
        bound = kombu.Queue(queue, kombu.Exchange(queue, "direct"), routing_key=queue)
        held = []
        with connection.Consumer([bound], callbacks=[lambda body, message: held.append(body)], accept=["json"]):
            while len(held) < int(rest[0]):
                connection.drain_events(timeout=5)
        say("done")
