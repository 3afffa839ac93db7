"""Django's own commands on a small project, one after another; what each says, and what Django
sees of the schema behind it, is printed. Arguments: host port user password schema;
then `make` or `reset` for these alone.
"""
import sys

import django
import pymysql
from django.conf import settings

pymysql.install_as_MySQLdb()
host, port, user, password, schema, *phase = sys.argv[1:]
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "shop"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.mysql",
            "HOST": host,
            "PORT": port,
            "USER": user,
            "PASSWORD": password,
            "NAME": schema,
            "TEST": {"NAME": f"{schema}_test", "CHARSET": "utf8mb4"},
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=False,
)
django.setup()

from django.core.management import call_command
from django.db import connection
from shop.models import Author, Book


def run(*command, **options):
    print("$", *command, flush=True)
    call_command(*command, no_color=True, **options)


def look():
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor, include_views=True)):
            cursor.execute(f"SELECT COUNT(*) FROM {connection.ops.quote_name(table)}")
            (rows,) = cursor.fetchone()
            print(table, rows, sorted(connection.introspection.get_constraints(cursor, table)))


def fill():
    ann, bob = (Author.objects.create(name=name) for name in ("Ann", "Bob"))
    for title in ("One", "Two", "Three"):
        Book.objects.create(title=title, author=ann).readers.add(ann, bob)


if phase:
    if phase == ["make"]:
        run("migrate")
        fill()
    else:
        run("flush", interactive=False)
        Author.objects.bulk_create(Author(name=name) for name in ("Cid", "Dan", "Eve"))
    sys.exit()

run("migrate")
fill()
look()
run("migrate", "shop", "0001")
look()
run("migrate", "shop", "zero")
look()
run("migrate")
run("makemigrations", check_changes=True, dry_run=True)
fill()
run("inspectdb")
run("flush", interactive=False)
look()
fill()
for app in ("shop", "auth", "contenttypes"):
    run("migrate", app, "zero")
look()
run("migrate")
fill()

# The database of a test run: made, found by the next run and made anew, removed.
for keep in (True, False):
    connection.creation.create_test_db(verbosity=1, autoclobber=True, serialize=False)
    fill()
    look()
    if not keep:
        connection.creation.destroy_test_db(schema, verbosity=1)
    connection.close()
    connection.settings_dict["NAME"] = settings.DATABASES["default"]["NAME"] = schema
look()
