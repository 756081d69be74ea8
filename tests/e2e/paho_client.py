# SPDX-License-Identifier: Apache-2.0
"""A device as many people write theirs: python3-paho-mqtt (1.6 or 2), TLS, one subscription.

Says on standard output what happens: `connected CODE`, `subscribed`, `message TEXT`, `disconnected`.
Publishes its client id to its topic once subscribed. Ends when it is disconnected or refused.
"""
import sys

import paho.mqtt.client as mqtt

port, ca_file, certificate, key, client_id, topic = sys.argv[1:]


def say(text):
    print(text, flush=True)


def code_of(reason):
    return int(getattr(reason, "value", reason))


def on_connect(client, _userdata, _flags, reason, _properties=None):
    say(f"connected {code_of(reason)}")
    if code_of(reason) == 0:
        client.subscribe(topic, qos=1)
    else:
        client.disconnect()


def on_subscribe(client, *_):
    say("subscribed")
    client.publish(topic, client_id, qos=1)


def on_message(_client, _userdata, message):
    say("message " + message.payload.decode())


def on_disconnect(client, *_):
    say("disconnected")
    client.disconnect()  # no reconnecting: loop_forever() returns


if hasattr(mqtt, "CallbackAPIVersion"):
    device = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
else:
    device = mqtt.Client(client_id=client_id, protocol=mqtt.MQTTv5)
device.on_connect = on_connect
device.on_subscribe = on_subscribe
device.on_message = on_message
device.on_disconnect = on_disconnect
device.tls_set(ca_certs=ca_file, certfile=certificate, keyfile=key)
device.connect("127.0.0.1", int(port))
device.loop_forever()
