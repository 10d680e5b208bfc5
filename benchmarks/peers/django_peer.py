"""
django-buymeacoffee in the smallest Django project: settings, URLs and the WSGI application.

The package stores donations. It verifies no signature, matches no donation to a user, and gives no credit.
"""

import importlib
import os
import sys
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

PACKAGE = "django_buymeacoffee"
database = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="signs nothing here",  # noqa: S106 — not a real secret: this project has no sessions to sign
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[PACKAGE],
    # The package has no migrations, so `migrate --run-syncdb` creates its tables from the models.
    MIGRATION_MODULES={PACKAGE: None},
    # django-buymeacoffee passes times without a zone to Django. If USE_TZ were true, Django would warn about each of them.
    USE_TZ=False,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": database.hostname,
            "USER": database.username,
            "NAME": database.path.removeprefix("/"),
            # Without a pool or persistent connections, Django would open a new connection for each request.
            "OPTIONS": {"pool": {"min_size": 4, "max_size": 16}},
        }
    },
)

# django-buymeacoffee imports a module `django_ninja`, but the module that django-ninja installs is called `ninja`. So register
# `ninja` as `django_ninja` too. Do so after `settings.configure`, because `ninja` reads the settings when it is imported.
sys.modules["django_ninja"] = importlib.import_module("ninja")
application = get_wsgi_application()
urlpatterns = [path("", include(f"{PACKAGE}.urls"))]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
