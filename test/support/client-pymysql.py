"""The script of PyMySQL for the matrix of clients. Arguments:
host port user password schema file tls|plain
"""
import hashlib
import sys

import pymysql
from pymysql.constants import CLIENT

host, port, user, password, schema, infile, tls = sys.argv[1:]
UNICODE = "Grüße, 漢字, Ωμέγα, 😀"
try:
    connection = pymysql.connect(
        host=host, port=int(port), user=user, password=password, database=schema, charset="utf8mb4",
        local_infile=True, client_flag=CLIENT.MULTI_STATEMENTS, autocommit=True,
        **({"ssl": {"verify_mode": "none"}} if tls == "tls" else {"ssl_disabled": True}),
    )
except pymysql.MySQLError as error:
    sys.exit(f"{type(error).__name__} {error.args}")


def step(title, sql, args=None, digest=False):
    try:
        with connection.cursor() as cursor:
            affected = cursor.execute(sql, args)
            results = []
            while True:
                rows = cursor.fetchall()
                text = repr((cursor.description, rows))
                results.append(hashlib.sha256(text.encode()).hexdigest() if digest else text)
                if not cursor.nextset():
                    break
            print(f"{title}: {affected} {cursor.lastrowid} {results}")
    except pymysql.MySQLError as error:
        print(f"{title}: {type(error).__name__} {error.args}")


print(connection.get_server_info().split("-")[0], connection.autocommit_mode, connection.get_autocommit())
step("who", "SELECT CURRENT_USER(), DATABASE()")
step("insert", "INSERT INTO kept VALUES (%s, %s, %s, %s, %s)",
     (1, UNICODE, "12345.67", "2026-02-28 23:59:59", b"\x00\xff"))
step("select", "SELECT * FROM kept WHERE id = %s AND txt = %s", (1, UNICODE))
step("prepare", "PREPARE p FROM 'SELECT id + ? FROM n WHERE id < ?'")
step("set", "SET @x = 10, @y = 3")
step("execute", "EXECUTE p USING @x, @y")
connection.begin()
step("insert in a transaction", "INSERT INTO kept (id) VALUES (7), (8)")
connection.rollback()
step("rows", "SELECT COUNT(*) FROM kept")
connection.autocommit(False)
step("insert without autocommit", "INSERT INTO kept (id) VALUES (9)")
connection.commit()
connection.autocommit(True)
step("several", "SELECT 1; SELECT 2, 'x'; DO 1; SELECT 3")
step("error in the second", "SELECT 1; SELECT * FROM missing; SELECT 2")
step("call", "CALL two()")
step("unicode", "SELECT %s, HEX(%s)", (UNICODE, UNICODE))
step("big result", "SELECT a.id + 10 * b.id + 100 * c.id + 1000 * d.id AS i, REPEAT('x', 100) "
     "FROM n AS a, n AS b, n AS c, n AS d ORDER BY i", digest=True)
step("big row", "SELECT REPEAT('y', 2000000)", digest=True)
step("missing table", "SELECT * FROM missing")
step("syntax error", "SELECT FROM WHERE")
step("duplicate", "INSERT INTO n VALUES (1)")
connection.ping(reconnect=False)
connection.select_db(schema)
step("infile", f"LOAD DATA LOCAL INFILE '{infile}' INTO TABLE loaded CHARACTER SET utf8mb4 "
     "FIELDS TERMINATED BY ','")
step("infile that is missing", "LOAD DATA LOCAL INFILE '/nowhere/x' INTO TABLE loaded")
step("loaded", "SELECT * FROM loaded")
with connection.cursor(pymysql.cursors.SSCursor) as unbuffered:
    unbuffered.execute("SELECT a.id FROM n AS a, n AS b, n AS c")
    print("unbuffered:", sum(1 for _ in unbuffered))
step("drop a", "DROP TABLE a")
step("a is gone", "SELECT * FROM a")
step("drop b, if it exists", "DROP TABLE IF EXISTS b")
step("no warning", "SHOW WARNINGS")
step("drop what is missing", "DROP TABLE IF EXISTS missing")
step("a note", "SHOW WARNINGS")
print("warnings:", connection.show_warnings())
step("drop what is missing, without asking", "DROP TABLE missing")
step("an error", "SHOW WARNINGS")
step("drop two, if they exist", "DROP TABLE IF EXISTS c, `d`")
step("left", "SHOW TABLES")
connection.close()
print("the end")
