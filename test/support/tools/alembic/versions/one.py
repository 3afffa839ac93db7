"""books"""
import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade():
    op.create_table(
        "author",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(50), unique=True),
    )
    op.create_table(
        "book",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("author_id", sa.Integer, sa.ForeignKey("author.id", name="fk_author"), nullable=False),
        sa.Column("title", sa.String(100), index=True),
    )


def downgrade():
    op.drop_table("book")
    op.drop_table("author")
