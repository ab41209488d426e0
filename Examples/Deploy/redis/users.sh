#!/bin/sh
# Prints the configuration of the shop's Redis: its data is kept on disk, and each service has a user with rights to its
# own keys and channels, with the passwords of the environment, which have to consist of letters and digits. Without a
# user, a client can only test whether the server answers.
#
# The rights confine the data. A service that was taken over can still block the server with a script, see the names of
# keys, and make the others empty their first level of the cache.
set -eu

user() { # NAME PASSWORD PREFIX
    case $2 in
    '' | *[!A-Za-z0-9]*) echo "users: the password of $1 has to consist of letters and digits" >&2; exit 1 ;;
    esac
    echo "user $1 on >$2 ~$3:* resetchannels &$3:* &__redis__:invalidate -@all" \
        '+ping +client|setname +client|id +client|tracking +select +role +info +eval +evalsha +subscribe +publish +time' \
        '+get +set +del +pttl +pexpire +zadd +zrem +zrange +zrangebyscore +zcard +zcount +zscore' \
        '+hget +hset +hdel +hmget +hrandfield +sadd +srem +scan +cluster|info'
}

echo 'appendonly yes'
echo 'user default on nopass resetkeys resetchannels -@all +ping'
user shop-orders "$SHOP_ORDERS_PASSWORD" shop.orders
user shop-inventory "$SHOP_INVENTORY_PASSWORD" inventory
user shop-notifications "$SHOP_NOTIFICATIONS_PASSWORD" notifications
