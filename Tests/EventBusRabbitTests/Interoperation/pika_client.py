"""A client that this project did not write: publishes and consumes with pika, and prints what it sees as JSON."""

import json
import sys
import threading

import pika


def main():
    url, command = sys.argv[1:3]
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    if command == "bind":
        queue, exchange, pattern = sys.argv[3:]
        channel.queue_declare(queue, durable=True)
        channel.queue_bind(queue, exchange, pattern)
    elif command == "get":
        method, properties, body = channel.basic_get(sys.argv[3], auto_ack=True)
        fields = {
            "contentType": "content_type", "correlationID": "correlation_id", "messageID": "message_id", "type": "type",
            "appID": "app_id", "timestamp": "timestamp", "deliveryMode": "delivery_mode", "headers": "headers",
        }
        seen = {name: getattr(properties, field) for name, field in fields.items()} if properties else {}
        print(json.dumps({"routingKey": method and method.routing_key, "body": body and body.decode(), **seen}))
    elif command == "publish":
        exchange, routing_key, body = sys.argv[3:6]
        channel.confirm_delivery()
        channel.basic_publish(exchange, routing_key, bytes.fromhex(body), mandatory=True)
    elif command == "send":
        # Messages with whatever properties and headers the test wants, as a JSON list.
        channel.confirm_delivery()
        for message in json.loads(sys.argv[3]):
            channel.basic_publish(
                message.get("exchange", ""), message["routing_key"], message.get("body", "{}").encode(),
                pika.BasicProperties(**message.get("properties", {})),
            )
    elif command == "count":
        print(channel.queue_declare(sys.argv[3], passive=True).method.message_count)
    elif command == "delete-queue":
        channel.queue_delete(sys.argv[3])
    elif command == "delete-exchange":
        channel.exchange_delete(sys.argv[3])
    elif command == "queue":
        channel.queue_declare(sys.argv[3], durable=True)
    elif command == "publish-odd":
        # Headers that the broker acts on, and that must not go out again on a retry.
        exchange, routing_key = sys.argv[3:5]
        properties = pika.BasicProperties(
            user_id="guest",
            expiration="60000",
            headers={"CC": [routing_key + ".copy"], "tenant": "acme", "nothing": None, "nested": {"a": [1, "b", True]}},
        )
        channel.basic_publish(exchange, routing_key, b"{}", properties)
    elif command == "deep":
        # A header table that is nested far deeper than anyone needs.
        exchange, routing_key, depth = sys.argv[3], sys.argv[4], int(sys.argv[5])
        value = "core"
        for _ in range(depth):
            value = [value]
        channel.basic_publish(exchange, routing_key, b"{}", pika.BasicProperties(headers={"deep": value}))
    elif command == "long-headers":
        # The longest name there is, and values on both sides of what a short string holds.
        exchange, routing_key = sys.argv[3:5]
        headers = {"n" * 255: "of 255", "v255": "v" * 255, "v256": "v" * 256}
        channel.basic_publish(exchange, routing_key, b"{}", pika.BasicProperties(headers=headers))
    elif command == "request":
        exchange, routing_key, body = sys.argv[3:6]
        replies = []
        channel.basic_consume("amq.rabbitmq.reply-to", lambda *reply: replies.append(reply), auto_ack=True)
        properties = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="pika-1")
        channel.basic_publish(exchange, routing_key, body.encode(), properties)
        connection.process_data_events(time_limit=5)
        for _, _, reply, content in replies[:1]:
            print(json.dumps({"correlationID": reply.correlation_id, "body": content.decode()}))
    connection.close()


# Encoding what is nested is recursive, here too.
sys.setrecursionlimit(100_000)
threading.stack_size(512 << 20)
failures = []
threading.excepthook = lambda arguments: (failures.append(arguments), threading.__excepthook__(arguments))
thread = threading.Thread(target=main)
thread.start()
thread.join()
sys.exit(1 if failures else 0)
