# SPDX-License-Identifier: MIT
"""A small HTTPS client for the fake's own tests: one connection, kept."""
import http.client
import json
import os
import ssl

import patching


class Answer:
    def __init__(self, status, headers, raw):
        self.status, self.headers, self.raw = status, headers, raw

    @property
    def json(self):
        return json.loads(self.raw)


class Client:
    def __init__(self, server, token=None, address=None, pair=None, timeout_s=10):
        self.server, self.token = server, server.token if token is None else token
        with open(os.path.join(server.account_directory, "ca.crt"), encoding="ascii") as file:
            context = ssl.create_default_context(cadata=file.read())
        if pair:
            context.load_cert_chain(*pair)
        self.connection = http.client.HTTPSConnection(
            address or server.addresses[0], server.port, context=context, timeout=timeout_s)

    def send(self, method, path, body=None, content_type=None, headers=None):
        """Sends, and returns what http.client calls the response: for streams."""
        headers = dict(headers or {})
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        if content_type:
            headers["Content-Type"] = content_type
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        self.connection.request(method, path, body, headers)
        return self.connection.getresponse()

    def ask(self, method, path, body=None, content_type=None, headers=None):
        response = self.send(method, path, body, content_type, headers)
        return Answer(response.status, response.headers, response.read())

    def get(self, path):
        return self.ask("GET", path)

    def pod(self, name, namespace="default"):
        return self.get(f"/api/v1/namespaces/{namespace}/pods/{name}")

    def resize(self, name, requests=None, limits=None, container="app", query="", **metadata):
        resources = {}
        if requests is not None:
            resources["requests"] = requests if isinstance(requests, dict) else {"cpu": requests}
        if limits is not None:
            resources["limits"] = limits if isinstance(limits, dict) else {"cpu": limits}
        body = {"spec": {"containers": [{"name": container, "resources": resources}]}}
        if metadata:
            body["metadata"] = metadata
        return self.patch(name, body, query)

    def patch(self, name, body, query="", content_type=patching.STRATEGIC):
        return self.ask("PATCH", f"/api/v1/namespaces/default/pods/{name}/resize{query}", body,
                        content_type)

    def close(self):
        self.connection.close()
