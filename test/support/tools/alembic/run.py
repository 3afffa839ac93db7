"""Alembic's commands on a small project, then SQLAlchemy's drop_all and create_all of a cycle of
foreign keys, and pandas' way to replace a table. Arguments: host port user password schema; then `make` or
`reset` for these alone.
"""
import sys
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import (
    URL, Column, ForeignKey, Integer, MetaData, String, Table, create_engine, insert, inspect,
    select, func, text,
)

host, port, user, password, schema, *phase = sys.argv[1:]
url = URL.create("mysql+pymysql", user, password, host, int(port), schema)
engine = create_engine(url, isolation_level="AUTOCOMMIT")
config = Config(stdout=sys.stdout)
config.set_main_option("script_location", str(Path(__file__).parent))
config.attributes["engine"] = engine


def run(name, *args, **options):
    print("$", name, *args, flush=True)
    getattr(command, name)(config, *args, **options)


def reflected():
    metadata = MetaData()
    metadata.reflect(engine)
    return metadata


def look():
    print("views", inspect(engine).get_view_names())
    with engine.connect() as connection:
        for table in reflected().sorted_tables:
            rows = connection.scalar(select(func.count()).select_from(table))
            keys = sorted(str(one.name) for one in table.constraints)
            print(table.name, rows, keys, sorted(str(one.name) for one in table.indexes))


def fill():
    tables = reflected().tables
    with engine.connect() as connection:
        connection.execute(insert(tables["author"]), [{"name": "Ann"}, {"name": "Bob"}])
        connection.execute(insert(tables["book"]), [{"author_id": 1, "title": "One"}] * 3)


def add(names):
    with engine.connect() as connection:
        connection.execute(insert(reflected().tables["author"]), [{"name": one} for one in names])


if phase:
    if phase == ["reset"]:
        run("downgrade", "base")
    run("upgrade", "head")
    fill() if phase == ["make"] else add(["Cid", "Dan", "Eve"])
    sys.exit()

run("upgrade", "head")
fill()
look()
run("downgrade", "-1")
look()
run("upgrade", "head")
run("downgrade", "base")
look()
run("upgrade", "head")
run("current")
fill()
with engine.connect() as connection:
    print(compare_metadata(MigrationContext.configure(connection), reflected()))
    connection.execute(text("CREATE VIEW titles AS SELECT title FROM book"))

# As a tool that drops whatever it finds; a view is reflected as a table.
found = MetaData()
found.reflect(engine)
found.drop_all(engine)
look()

# Each of two tables refers to the other: the foreign key goes first.
cycle = MetaData()
Table(
    "team", cycle, Column("id", Integer, primary_key=True),
    Column("boss", Integer, ForeignKey("person.id", name="fk_boss", use_alter=True)),
)
person = Table(
    "person", cycle, Column("id", Integer, primary_key=True),
    Column("team", Integer, ForeignKey("team.id", name="fk_team")), Column("name", String(20)),
)
for round in range(2):
    cycle.create_all(engine)
    with engine.connect() as connection:
        connection.execute(insert(person), [{"name": "Ann"}, {"name": "Bob"}])
        # A plain DROP TABLE for a temporary table that hides one of the same name.
        hiding = Table("person", MetaData(), Column("id", Integer), prefixes=["TEMPORARY"])
        hiding.create(connection, checkfirst=False)
        hiding.drop(connection, checkfirst=False)
        print(connection.scalar(select(func.count()).select_from(person)))
    look()
    cycle.drop_all(engine)
    print(inspect(engine).get_table_names())

# if_exists="replace" of pandas: has_table, DROP, CREATE, INSERT, in one transaction.
with create_engine(url).connect() as connection:
    for count in (1, 2):
        frame = Table("frame", MetaData(), Column("id", Integer), Column("word", String(9)))
        if inspect(connection).has_table("frame"):
            frame.drop(connection)
        frame.create(connection)
        connection.execute(insert(frame), [{"word": "one"}] * count)
        connection.commit()
connection.engine.dispose()
cycle.create_all(engine)
run("stamp", "base")
run("upgrade", "head")
look()
print(sorted(set(inspect(engine).get_schema_names()) & {"_undrop", "_undrop_local", schema}))
