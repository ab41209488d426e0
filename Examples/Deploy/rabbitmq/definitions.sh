#!/bin/sh
# Prints the users of the shop for RabbitMQ's load_definitions: an administrator, and one user for each service with the
# passwords of the environment, which have to consist of letters and digits.
#
# A service may declare and use the exchange of events, the objects of the bus, and the queues of its own group. It may
# publish and schedule its own topics only, and retry in its own queues. That confines a leaked password and a mistake. It
# does not confine an attacker, because all services may write to the exchanges behind the delay levels, add dead letters to
# any group and delete the delay levels: the deployment guide of EventBusRabbit describes services that do not trust each
# other. Replaying dead letters requires the right to write to amq.default, and is done by the administrator.
set -eu

user() { # NAME PASSWORD TAGS
    case $2 in
    '' | *[!A-Za-z0-9]*) echo "definitions: the password of $1 has to consist of letters and digits" >&2; exit 1 ;;
    esac
    printf '    {"name": "%s", "password": "%s", "tags": "%s"}' "$1" "$2" "$3"
}

permission() { # USER PATTERN
    printf '    {"user": "%s", "vhost": "/", "configure": "%s", "write": "%s", "read": "%s"}' "$1" "$2" "$2" "$2"
}

topic() { # USER EXCHANGE PATTERN
    printf '    {"user": "%s", "vhost": "/", "exchange": "%s", "write": "%s", "read": ".*"}' "$1" "$2" "$3"
}

# Without a topic permission, a user may publish and schedule events of every topic, and send retries into every queue.
topics() { # GROUP [TOPICS]
    topic "shop-$1" events "^${2:-}\$"
    # The levels' bits, and then a retry for a queue of the group, or a scheduled event of its topics.
    for level in $(seq 0 19); do
        printf ',\n'
        topic "shop-$1" "eventbus.delay.v1.$level" \
            "^([01]\\\\.){20}(r\\\\.$1\\\\..+${2:+|e\\\\.[0-9a-f]{8\}\\\\.$2})\$"
    done
}

service() { # GROUP
    permission "shop-$1" "^(events|eventbus\\\\..+|$1\\\\..+)\$"
}

admin=$(user shop-admin "$SHOP_ADMIN_PASSWORD" administrator)
orders=$(user shop-orders "$SHOP_ORDERS_PASSWORD" '')
inventory=$(user shop-inventory "$SHOP_INVENTORY_PASSWORD" '')
notifications=$(user shop-notifications "$SHOP_NOTIFICATIONS_PASSWORD" '')
cat <<JSON
{
  "vhosts": [{"name": "/"}],
  "users": [
$admin,
$orders,
$inventory,
$notifications
  ],
  "permissions": [
$(permission shop-admin '.*'),
$(service orders),
$(service inventory),
$(service notifications)
  ],
  "topic_permissions": [
$(topics orders 'order\\.[a-z]+'),
$(topics inventory 'stock\\.[a-z]+'),
$(topics notifications)
  ]
}
JSON
