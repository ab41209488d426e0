#!/bin/sh
# Creates a user and a database for each service. The container of PostgreSQL runs it once, on an empty data directory.
set -eu

# The password is read from the environment, because other users can see the arguments of a process.
create() { # SERVICE PASSWORD
    PASSWORD=$2 psql --quiet --set ON_ERROR_STOP=1 --set "name=shop-$1" --set "database=$1" \
        --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv password PASSWORD
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"database" OWNER :"name";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
SQL
}

create orders "$SHOP_ORDERS_PASSWORD"
create inventory "$SHOP_INVENTORY_PASSWORD"
create notifications "$SHOP_NOTIFICATIONS_PASSWORD"
