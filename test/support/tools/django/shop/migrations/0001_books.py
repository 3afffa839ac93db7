from django.db import migrations, models

ID = (
    "id",
    models.BigAutoField(primary_key=True, auto_created=True, serialize=False, verbose_name="ID"),
)


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel(
            "Author", fields=[ID, ("name", models.CharField(max_length=50, unique=True))]
        ),
        migrations.CreateModel(
            "Book",
            fields=[
                ID,
                ("title", models.CharField(max_length=100, db_index=True)),
                ("author", models.ForeignKey("shop.Author", models.CASCADE)),
            ],
        ),
    ]
