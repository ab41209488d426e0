"""A service that stores events through psycopg.

psycopg_client.py URL FILE: carries out one transaction for each row of FILE, a list of {worker, sql, values, commits}, on
one connection for each worker. A value is a text, a number, a boolean, null, or {"base64": …} for bytes. Each transaction
also writes to the table `effect`.
"""

import base64
import json
import sys
import threading

import psycopg


def value(item):
    return base64.b64decode(item["base64"]) if isinstance(item, dict) else item


def work(url, rows, failures):
    try:
        with psycopg.connect(url) as connection:
            for row in rows:
                with connection.transaction(force_rollback=not row["commits"]):
                    connection.execute("INSERT INTO effect (worker) VALUES (%s)", (row["worker"],))
                    connection.execute(row["sql"], [value(item) for item in row["values"]])
    except Exception as error:  # The thread has nobody else to tell.
        failures.append(error)


def main():
    url, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)
    failures = []
    threads = [
        threading.Thread(target=work, args=(url, [row for row in rows if row["worker"] == worker], failures))
        for worker in sorted({row["worker"] for row in rows})
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"psycopg: {failures[0]!r}")


main()
