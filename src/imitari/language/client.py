"""A client of any server that speaks the chat protocol of OpenAI: one question, one answer."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from imitari.core.errors import Missing, UserError

KEY = "OPENAI_API_KEY"  # environment variable; servers of one's own need none
MOST = 1 << 20  # bytes of an answer


@dataclass(frozen=True)
class Client:
    """Where a model is served.

    Attributes:
        url: of the server, up to and with the version ("http://localhost:8000/v1").
        model: its name there.
        seconds: waited for an answer.
    """

    url: str
    model: str
    seconds: float = 120.0

    def ask(self, question: str) -> str:
        """The answer, at temperature 0.

        Raises:
            Missing: when the server cannot be reached.
            UserError: when it refuses, or answers something else.
        """
        content = {"model": self.model, "temperature": 0, "messages": [{"role": "user", "content": question}]}
        headers = {"Content-Type": "application/json"}
        if os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {os.environ[KEY]}"
        if not self.url.startswith(("http://", "https://")):
            raise UserError(f"'{self.url}' is no address of a server: write http://... or https://...")
        where = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(where, json.dumps(content).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.seconds) as reply:
                data: Any = json.loads(reply.read(MOST))
            return str(data["choices"][0]["message"]["content"])
        except urllib.error.HTTPError as error:
            raise UserError(f"{where}: refused the question ({error.code} {error.reason})") from error
        except (urllib.error.URLError, TimeoutError) as error:
            raise Missing(
                f"a language model at {self.url}", f"start one there, or give a stored answer ({error})"
            ) from error
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f"{where}: the answer is not one of the chat protocol") from error
