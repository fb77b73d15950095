# SPDX-License-Identifier: MIT
"""Runs what a Grafana dashboard would ask, against a real server.

grafana.py URL DASHBOARD START END INTERVAL [NAME=VALUE...]

START, END: seconds since 1970, INTERVAL: collectd's, in seconds. The variables' queries are run
first, each may use those before it; NAME=VALUE chooses a value. Prints, separated by tabs:

    variable NAME VALUE...
    query    PANEL REF NUMBER-OF-SERIES-WITH-DATA
    sum      PANEL REF LEGEND VALUE    a series of a graph, integrated over the time asked for
    link     PANEL REF LEGEND PORT     the port that a click on the series chooses
    cell     PANEL ROW COLUMN VALUE    of a table
    event    ANNOTATION TITLE TAG...   of an annotation
    error    TEXT

Only what the two dashboards use is understood; anything else is an error.
"""

import json
import math
import re
import sys
import urllib.error
import urllib.parse
import urllib.request


def say(*words):
    print(*words, sep="\t")


def get(url, path, **parameters):
    """A server's answer; its error text if it refuses."""
    try:
        with urllib.request.urlopen(
            f"{url}{path}?{urllib.parse.urlencode(parameters)}", timeout=60
        ) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise ValueError(error.read().decode()) from error


class Prometheus:
    """Queries as Grafana sends them to /api/v1."""

    def __init__(self, url, start, end, interval):
        self.url, self.start, self.end, self.interval = url, start, end, interval

    def builtin(self):
        return {"__rate_interval": f"{4 * self.interval}s", "__range": f"{self.end - self.start}s"}

    @staticmethod
    def choice(values):
        return "|".join(values)

    def values(self, query, expand):
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query["query"]).groups()
        return get(
            self.url,
            f"/api/v1/label/{label}/values",
            **{"match[]": expand(selector), "start": self.start, "end": self.end},
        )["data"]

    @staticmethod
    def text(target):
        return target["expr"]

    def range(self, query):
        """[(labels, [(time, value)])]"""
        answer = get(
            self.url,
            "/api/v1/query_range",
            query=query,
            start=self.start,
            end=self.end,
            step=self.interval,
        )
        for series in answer["data"]["result"]:
            yield series["metric"], [(float(t), float(v)) for t, v in series["values"]]

    def series(self, target, query):
        """[(legend, labels, [(time, value)])]"""
        for labels, points in self.range(query):
            legend = re.sub(
                r"{{(\w+)}}", lambda m, named=labels: named[m[1]], target["legendFormat"]
            )
            yield legend, labels, points

    def rows(self, target, query):
        """One column, named as Grafana's merge of several queries does."""
        answer = get(self.url, "/api/v1/query", query=query, time=self.end)
        for series in answer["data"]["result"]:
            yield series["metric"]["type"], {f"Value #{target['refId']}": float(series["value"][1])}

    def events(self, annotation, expand):
        """[(title, tags)], with Grafana's rule: a value that is not above 0 is none."""
        if annotation["expr"] != annotation["target"]["expr"]:
            raise ValueError("two queries in an annotation")
        for labels, points in self.range(expand(annotation["expr"])):
            if any(value > 0 for _, value in points):
                title = re.sub(
                    r"{{(\w+)}}", lambda m, named=labels: named[m[1]], annotation["titleFormat"]
                )
                keys = annotation["tagKeys"].split(",")
                yield title, [labels[key] for key in keys if key in labels]


class InfluxDB:
    """Queries as Grafana sends them to /query."""

    def __init__(self, url, start, end, interval):
        self.url, self.database = url.rsplit("/", 1)
        self.start, self.end, self.interval = start, end, interval

    def builtin(self):
        return {
            "__interval": f"{self.interval}s",
            "timeFilter": f"time >= {self.start}s and time <= {self.end}s",
        }

    @staticmethod
    def choice(values):
        return "(" + "|".join(re.sub(r"([^\w])", r"\\\1", value) for value in values) + ")"

    def ask(self, query):
        result = get(self.url, "/query", db=self.database, q=query, epoch="s")["results"][0]
        if "error" in result:
            raise ValueError(result["error"])
        return result.get("series", [])

    @staticmethod
    def events(annotation, _):
        raise ValueError(f"annotation {annotation['name']}: not expected")

    def values(self, query, expand):
        # Grafana replaces only the first $timeFilter of a variable's query.
        if query.count("$timeFilter") > 1:
            raise ValueError("several $timeFilter in a variable")
        return [str(row[1]) for series in self.ask(expand(query)) for row in series["values"]]

    @staticmethod
    def text(target):
        return target["query"]

    def series(self, target, query):
        """[(legend, labels, [(time, value)])]"""
        for series in self.ask(query):
            tags = series.get("tags", {})
            legend = re.sub(r"\$tag_(\w+)", lambda m, named=tags: named[m[1]], target["alias"])
            points = [(t, v) for t, v in series["values"] if v is not None]
            yield legend, tags, points

    def rows(self, _, query):
        for series in self.ask(query):
            columns = dict(zip(series["columns"], series["values"][0]))
            del columns["time"]
            yield series["tags"]["type_instance"], columns


class Dashboard:
    """One that was imported, its variables chosen."""

    def __init__(self, path, chosen, url, start, end, interval):
        with open(path, encoding="utf-8") as file:
            self.json = json.load(file)
        source = self.json["__inputs"][0]
        self.source = {"type": source["pluginId"], "uid": "${" + source["name"] + "}"}
        kind = {"prometheus": Prometheus, "influxdb": InfluxDB}[source["pluginId"]]
        self.server = kind(url, start, end, interval)
        self.interval = interval
        self.known = self.server.builtin()
        self.chosen = chosen
        self.ports = []

    def expand(self, text):
        for name in sorted(self.known, key=len, reverse=True):
            text = text.replace("$" + name, self.known[name])
        if re.search(r"\$\w|\${|\[\[", text):
            raise ValueError(f"unknown variable in {text}")
        return text

    def choose_variables(self):
        for variable in self.json["templating"]["list"]:
            name = variable["name"]
            if variable["type"] == "query":
                self.check_source(variable)
                values = self.server.values(variable["query"], self.expand)
            else:
                values = variable["query"].split(",")
            say("variable", name, *values)
            if name == "port":
                self.ports = values
            if name in self.chosen:
                values = [self.chosen[name]]
            elif not variable["multi"]:
                values = values[:1]
            plain = not variable["multi"]
            self.known[name] = "".join(values) if plain else self.server.choice(values)

    def check_source(self, item):
        if item["datasource"] != self.source:
            raise ValueError(f"another data source: {item['datasource']}")

    def panels(self):
        """Those in rows that are collapsed, too."""
        for panel in self.json["panels"]:
            yield from panel["panels"] if panel["type"] == "row" else [panel]

    def run_annotations(self):
        for annotation in self.json["annotations"]["list"]:
            self.check_source(annotation)
            for title, tags in self.server.events(annotation, self.expand):
                say("event", annotation["name"], title, *tags)

    def run_panels(self):
        for panel in self.panels():
            self.check_source(panel)
            panel["title"] = self.expand(panel["title"])
            for target in panel["targets"]:
                self.check_source(target)
                query = self.expand(self.server.text(target))
                try:
                    if panel["type"] == "table":
                        self.run_table(panel, target, query)
                    else:
                        self.run_graph(panel, target, query)
                except ValueError as error:
                    say("error", f"{panel['title']} {target['refId']}: {error}: {query}")

    @staticmethod
    def link(panel, matched):
        """The port in the link of the field or the query, which its override has."""
        for override in panel["fieldConfig"]["overrides"]:
            for item in override["properties"]:
                if override["matcher"]["options"] == matched and item["id"] == "links":
                    return item["value"][0]["url"].split("&var-port=")[1]
        return None

    def say_link(self, panel, ref, legend, port):
        if port not in self.ports:
            raise ValueError(f"the link of {legend} leads to {port}, which is no port")
        say("link", panel["title"], ref, legend, port)

    def run_graph(self, panel, target, query):
        number, link = 0, self.link(panel, target["refId"])
        for legend, labels, points in self.server.series(target, query):
            points = [value for _, value in points if math.isfinite(value)]
            number += bool(points)
            say("sum", panel["title"], target["refId"], legend, sum(points) * self.interval)
            if link:
                label = re.fullmatch(r"\${__field\.labels\.(\w+)}", link)[1]
                self.say_link(panel, target["refId"], legend, labels.get(label))
        say("query", panel["title"], target["refId"], number)

    def run_table(self, panel, target, query):
        rename = {}
        for step in panel["transformations"]:
            rename.update(step["options"].get("renameByName", {}))
        number = 0
        for row, columns in self.server.rows(target, query):
            number += 1
            for column, value in columns.items():
                say("cell", panel["title"], row, rename.get(column, column), value)
            if self.link(panel, "port") != "${__value.text}" or "port" not in rename.values():
                raise ValueError("no link in the column of the ports")
            self.say_link(panel, target["refId"], row, row)
        say("query", panel["title"], target["refId"], number)


def main():
    url, path, start, end, interval = sys.argv[1:6]
    chosen = dict(argument.split("=", 1) for argument in sys.argv[6:])
    try:
        dashboard = Dashboard(path, chosen, url, int(start), int(end), int(interval))
        dashboard.choose_variables()
        dashboard.run_annotations()
        dashboard.run_panels()
    except (ValueError, KeyError, IndexError, AttributeError, OSError) as error:
        say("error", f"{type(error).__name__}: {error}")


main()
