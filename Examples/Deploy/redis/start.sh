#!/bin/sh
# The entry point of Redis's container: writes its configuration, then starts it.
set -eu

here=$(dirname "$0")
umask 077
sh "$here/users.sh" >/etc/redis.conf
chown redis /etc/redis.conf
exec docker-entrypoint.sh redis-server /etc/redis.conf
