"""How large a person's share of a contested queue is."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("core", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="share_weight",
            field=models.PositiveSmallIntegerField(
                db_default=1,
                default=1,
                help_text="From 1 to 100. While several people wait for the same servers, someone with 3 has three "
                "builds started for each one of someone with 1.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(100),
                ],
                verbose_name="share of the queue",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(("share_weight__gte", 1)), name="user_share_weight_positive"
            ),
        ),
    ]
