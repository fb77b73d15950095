#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads Graphite's data back, with Graphite's own code, for graphite.sh.

carbon.py last DIR                 the last value of every whisper file: PATH VALUE
carbon.py render DIR DASHBOARD FROM UNTIL NAME=VALUE...
    asks the render API every query of a dashboard, with its variables replaced, and prints
    PANEL QUERY|SERIES|SUM|MOST for each series there comes: the sum of value times step, and the
    greatest value; PANEL QUERY||| first. An annotation is a panel of that name, its query Anno.
"""
import json
import os
import sys


def print_last(top):
    import whisper

    for directory, _, files in sorted(os.walk(top)):
        for name in sorted(files):
            path = os.path.join(directory, name)
            _, values = whisper.fetch(path, 0)
            known = [value for value in values if value is not None]
            print(os.path.relpath(path, top)[: -len(".wsp")].replace("/", "."),
                  "%.15g" % known[-1] if known else "none")


def print_rendered(top, dashboard, begin, end, variables):
    import django
    from django.test import Client

    sys.path.insert(0, os.path.dirname(top))  # graphite_test_settings, which graphite.sh writes
    os.environ["DJANGO_SETTINGS_MODULE"] = "graphite.settings"
    os.environ["GRAPHITE_SETTINGS_MODULE"] = "graphite_test_settings"
    django.setup()
    client = Client()
    with open(dashboard, encoding="utf-8") as file:
        board = json.load(file)
    queries = [(annotation["name"], annotation["target"])
               for annotation in board["annotations"]["list"]]
    for panel in board["panels"]:
        for inner in panel["panels"] if panel["type"] == "row" else [panel]:
            queries += [(inner["title"], query) for query in inner["targets"]]
    for title, query in queries:
        label, target = "%s %s" % (title, query["refId"]), query["target"]
        for name, value in variables.items():
            target = target.replace("$" + name, value)
            label = label.replace("$" + name, value)
        print(label + "|||")
        answer = client.get("/render", {"target": target, "from": begin, "until": end,
                                        "format": "json", "noCache": "1"})
        if answer.status_code != 200:
            print("%s|status %d|" % (label, answer.status_code))
            continue
        for series in json.loads(answer.content):
            points = series["datapoints"]
            known = [value for value, _ in points if value is not None]
            if known and len(points) > 1:
                step = points[1][1] - points[0][1]
                print("%s|%s|%.3f|%.3f" % (label, series["target"], sum(known) * step,
                                           max(known)))


def main():
    if sys.argv[1] == "last":
        print_last(sys.argv[2])
    else:
        print_rendered(*sys.argv[2:6], dict(word.split("=", 1) for word in sys.argv[6:]))


main()
