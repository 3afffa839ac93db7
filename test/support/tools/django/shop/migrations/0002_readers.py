from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("shop", "0001_books"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AddField(
            "Book",
            "owner",
            models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True),
        ),
        migrations.AddField(
            "Book", "readers", models.ManyToManyField("shop.Author", related_name="reads")
        ),
        migrations.AddField(
            "Book", "price", models.DecimalField(max_digits=9, decimal_places=2, default=0)
        ),
        migrations.AddConstraint(
            "Book",
            models.CheckConstraint(check=models.Q(price__gte=0), name="price_is_positive"),
        ),
    ]
