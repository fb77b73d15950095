# SPDX-License-Identifier: MIT
"""What Grafana's import relies on and its types don't tell: basics.py DASHBOARD... prints what is
wrong, a line each."""

import json
import re
import sys


def overlaps(panels):
    places = [(panel["title"], panel["gridPos"]) for panel in panels]
    for i, (title, a) in enumerate(places):
        if a["x"] < 0 or a["y"] < 0 or a["w"] < 1 or a["h"] < 1 or a["x"] + a["w"] > 24:
            yield f"{title}: outside of the 24 columns"
        for other, b in places[:i]:
            if (a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"]
                    and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]):
                yield f"{title}: overlaps {other}"


def faults(board):
    if not re.fullmatch(r"[\w-]{1,40}", board["uid"]):  # Grafana refuses another one
        yield "uid: not of 1 to 40 letters, digits, - and _"
    if board["id"] is not None:
        yield "id: of one Grafana's database"
    if not 36 <= board["schemaVersion"] <= 42:  # Grafana 9.0's; that of @grafana/schema 13.2
        yield f"schemaVersion: {board['schemaVersion']}"

    rows = [panel for panel in board["panels"] if panel["type"] == "row"]
    panels = board["panels"] + [inner for row in rows for inner in row["panels"]]
    numbers = [panel["id"] for panel in panels]
    if len(set(numbers)) != len(numbers):
        yield "panels: a number is there twice"
    yield from overlaps(board["panels"])
    for row in rows:
        yield from overlaps(row["panels"])
        if row["collapsed"] != bool(row["panels"]):  # an open row's panels come after it
            yield f"{row['title']}: open with panels of its own, or closed without"

    inputs = {f"${{{each['name']}}}" for each in board["__inputs"]}
    used = set(re.findall(r'"uid": "(\$\{DS_\w+\})"', json.dumps(board)))
    if inputs != used:
        yield f"data sources: asked for {inputs}, used {used}"

    known = {"__interval", "__rate_interval", "__range", "timeFilter", "tag_type_instance",
             "tag_instance", "__dashboard", "__url_time_range", "__field", "__series", "__value"}
    for variable in board["templating"]["list"]:  # each may use those before it
        for name in set(names_in(variable.get("query"))) - known:
            yield f"variable {variable['name']}: ${name} is not there yet"
        known.add(variable["name"])
    for name in set(names_in([panels, board["annotations"]])) - known:
        yield f"${name} is no variable"

    for panel in panels:
        targets = {target["refId"] for target in panel.get("targets", [])}
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            matcher = override["matcher"]
            if matcher["id"] == "byFrameRefID" and matcher["options"] not in targets:
                yield f"{panel['title']}: an override for {matcher['options']}, which is no query"


def names_in(value):
    """Of variables: $name and ${name...}, but no $/ or $' at the end of a regular expression"""
    text = re.sub(r"\$\{DS_\w+\}", "", json.dumps(value))
    return re.findall(r"\$\{?(\w+)", text)


def main():
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            for fault in faults(json.load(file)):
                print(f"{path.rpartition('/')[2]}: {fault}")


main()
