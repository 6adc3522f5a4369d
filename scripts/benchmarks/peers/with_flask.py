"""The dashboard by Flask: `gunicorn with_flask:app`."""

import reads
from flask import Flask, render_template

app = Flask(__name__, template_folder=".")


@app.get("/dashboard")
def dashboard() -> str:
    return render_template("dashboard.html", **reads.read())
