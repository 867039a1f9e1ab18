"""A tiny OpenID provider: the discovery document, the keys, and tokens signed with RS256.

    with OidcProvider() as provider:
        provider.config_url          # for the server that is to trust it
        provider.token(audience="sts.amazonaws.com", policy="readwrite", expires_in=3600)
"""
import base64
import json
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from wire import Listener, Response

KEY_ID = "k1"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class OidcProvider:
    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.listener = Listener("oidc", self.answer)
        self.issuer = self.listener.url
        self.config_url = self.issuer + "/.well-known/openid-configuration"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.listener.close()

    def answer(self, request):
        if request.path == "/.well-known/openid-configuration":
            value = {"issuer": self.issuer, "jwks_uri": self.issuer + "/keys",
                     "authorization_endpoint": self.issuer + "/authorize",
                     "token_endpoint": self.issuer + "/token",
                     "userinfo_endpoint": self.issuer + "/userinfo",
                     "response_types_supported": ["id_token"],
                     "subject_types_supported": ["public"],
                     "id_token_signing_alg_values_supported": ["RS256"]}
        elif request.path == "/keys":
            public = self.key.public_key().public_numbers()
            value = {"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID,
                               "n": number(public.n), "e": number(public.e)}]}
        else:
            return Response(404, text=b"")
        response = Response(200, {"Content-Type": "application/json"})
        response.json = value
        return response

    def token(self, audience="sts.amazonaws.com", expires_in=3600, **claims):
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": audience, "iat": now, "exp": now + expires_in,
                  "sub": "system:serviceaccount:hf-cache:hfcache-refresh", **claims}
        parts = [{"alg": "RS256", "typ": "JWT", "kid": KEY_ID}, claims]
        text = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{base64url(signature)}"
