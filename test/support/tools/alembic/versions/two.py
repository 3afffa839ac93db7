"""loans"""
import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade():
    op.create_table(
        "loan",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("book_id", sa.Integer, sa.ForeignKey("book.id", name="fk_book", ondelete="CASCADE")),
        sa.CheckConstraint("book_id > 0", name="ck_book"),
    )
    op.add_column("book", sa.Column("price", sa.Numeric(9, 2)))
    op.execute("INSERT INTO loan (book_id) SELECT id FROM book")


def downgrade():
    op.drop_column("book", "price")
    op.drop_table("loan")
