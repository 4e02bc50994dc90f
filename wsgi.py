"""The web application for `gunicorn wsgi:app`; `python wsgi.py` runs everything inline for development."""

from backend.app import create_app
from backend.setup import prepare

app = create_app()
prepare(app.extensions["services"])

if __name__ == "__main__":
    settings = app.extensions["services"].settings
    app.extensions["services"].jobs.runner.start()
    app.run(host=settings.host, port=settings.port, threaded=True)
