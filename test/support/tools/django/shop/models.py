from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=50, unique=True)


class Book(models.Model):
    title = models.CharField(max_length=100, db_index=True)
    author = models.ForeignKey(Author, models.CASCADE)
    owner = models.ForeignKey("auth.User", models.SET_NULL, null=True)
    readers = models.ManyToManyField(Author, related_name="reads")
    price = models.DecimalField(max_digits=9, decimal_places=2, default=0)

    class Meta:
        constraints = [models.CheckConstraint(check=models.Q(price__gte=0), name="price_is_positive")]
