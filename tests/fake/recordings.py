# SPDX-License-Identifier: MIT
"""What a real API server of Kubernetes 1.36 has answered: one request and its answer in each file of
recordings/, which is one line of JSON. An answer that was the same twice is written once:
"response" then is the name of the recording that has it."""
import json
import os

DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recordings")


def names():
    return sorted(file[:-len(".json")] for file in os.listdir(DIRECTORY))


def load(name):
    with open(os.path.join(DIRECTORY, name + ".json"), encoding="utf-8") as file:
        recording = json.load(file)
    if isinstance(recording["response"], str):
        recording["response"] = load(recording["response"])["response"]
    return recording


def body(name):
    """The object that the server has answered with."""
    return load(name)["response"]["body"]
