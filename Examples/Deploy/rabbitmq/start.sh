#!/bin/sh
# The entry point of the broker's container: writes its configuration, then starts it.
set -eu

here=$(dirname "$0")
umask 077
sh "$here/definitions.sh" >/etc/rabbitmq/definitions.json
printf 'load_definitions = /etc/rabbitmq/definitions.json\n' >/etc/rabbitmq/conf.d/20-definitions.conf
# Without it, delays that expire while the broker restarts are minutes late.
printf '[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 2000}]}].\n' >/etc/rabbitmq/advanced.config
chown rabbitmq /etc/rabbitmq/definitions.json /etc/rabbitmq/conf.d/20-definitions.conf /etc/rabbitmq/advanced.config
exec docker-entrypoint.sh rabbitmq-server
