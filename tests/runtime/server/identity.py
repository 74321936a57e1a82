"""Identity: access tokens, the search for instances, the catalogue of plans."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from urllib.parse import parse_qs

from .messages import Request, Response, error, reply
from .settings import API_KEY, CRN
from .state import State


class Identity:
    """IAM, Global Search and Global Catalog."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._secret = uuid.uuid4().bytes

    def token(self, request: Request) -> Response:
        form = parse_qs(request.body.decode())
        if form.get("apikey", [""])[0] != API_KEY:
            body = {
                "errorCode": "BXNIM0415E",
                "errorMessage": "Provided API key could not be found.",
            }
            return reply(body, 400)
        now = int(time.time())
        claims = {
            "iat": now,
            "exp": now + self._state.settings.token_life_seconds,
            "jti": uuid.uuid4().hex,
        }
        text = b".".join(_base64(json.dumps(each).encode()) for each in ({"alg": "HS256"}, claims))
        signature = hmac.new(self._secret, text, hashlib.sha256).digest()
        token = (text + b"." + _base64(signature)).decode()
        self._state.store.change(
            "INSERT INTO tokens (token, expires) VALUES (?, ?)", token, claims["exp"]
        )
        return reply(
            {
                "access_token": token,
                "refresh_token": "not_supported",
                "token_type": "Bearer",
                "expires_in": self._state.settings.token_life_seconds,
                "expiration": claims["exp"],
                "scope": "ibm openid",
            }
        )

    def _known_token(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        row = self._state.store.one("SELECT expires, revoked FROM tokens WHERE token = ?", token)
        return (
            scheme == "Bearer"
            and row is not None
            and not row["revoked"]
            and row["expires"] > time.time()
        )

    def refused(self, request: Request) -> Response | None:
        if not self._known_token(request):
            return error(401, 1207, "the token is not valid")
        if request.headers.get("service-crn") != CRN:
            return error(403, 1209, "no access to this instance")
        return None

    def search(self, request: Request) -> Response:
        if not self._known_token(request):
            return reply({"errors": [{"code": "unauthorized"}]}, 401)
        item = {
            "crn": CRN,
            "name": "local-instance",
            "service_plan_unique_id": f"plan-{self._state.settings.plan}",
            "doc": {"extensions": {"backends": sorted(self._state.devices)}},
            "tags": [],
        }
        return reply({"items": [item], "limit": 100})

    def catalog(self, request: Request) -> Response:
        plan = request.path.rsplit("/", 1)[-1].removeprefix("plan-")
        display, pricing = {"open": ("Open", "free"), "paygo": ("Pay-as-you-go", "paygo")}[plan]
        return reply(
            {
                "id": f"plan-{plan}",
                "overview_ui": {"en": {"display_name": display}},
                "metadata": {"pricing": {"type": pricing}},
            }
        )


def _base64(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")
