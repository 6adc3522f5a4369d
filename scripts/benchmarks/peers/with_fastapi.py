"""The dashboard by FastAPI: `uvicorn with_fastapi:app`. The view is no coroutine: boto3 waits, so a thread does."""

import reads
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

app = FastAPI()
templates = Jinja2Templates(directory=".")


@app.get("/dashboard")
def dashboard(request: Request) -> HTMLResponse:
    return templates.TemplateResponse(request, "dashboard.html", reads.read())
