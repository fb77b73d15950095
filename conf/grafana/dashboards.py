# SPDX-License-Identifier: MIT
"""Writes graphite.json, influxdb.json and prometheus.json beside this file, or into a directory:

    python3 dashboards.py [DIRECTORY]

What differs between the stores is in a class for each; panels, variables and links are described
once, below them. A panel's series are

    (unit, ports, by, legend, way)

unit: bits, bytes or packets a second; ports: which series of the plugin, a key of each store's
`ports`, or "interface" for the counters of collectd's plugin interface; by: "port", "interface" or
None, what has a series of its own and is PORT or INTERFACE in the legend; way: "in", "out" or None
for the sum of both.
"""

import json
import pathlib
import sys

FIELDS = {"in": ("rx",), "out": ("tx",), None: ("rx", "tx")}
FOLDED = "(tcp|udp|sctp)-(ephemeral|other)"
NEW = "(tcp|udp|sctp)-[0-9]+"


def counter(field, unit):
    return f"{field}_packets" if unit == "packets" else f"{field}_bytes"


class Prometheus:
    """Prometheus, and VictoriaMetrics by the same API."""

    name, plugin, uid = "Prometheus", "prometheus", "tc-portbytes-prom"
    port = "${__field.labels.type}"  # of a series, in a data link
    several_interfaces = True
    legend = {"PORT": "{{type}}", "INTERFACE": "{{tc_portbytes}}"}
    # "decrypted" was on the wire as ESP or AH, which has a series.
    wire = 'type!="decrypted"'
    ports = {"all": wire, "busiest": wire, "rest": wire, "chosen": 'type="$port"',
             "groups": 'type=~"group-.+"', "folded": f'type=~"{FOLDED}"',
             "others": f'type!~"{FOLDED}|decrypted"', "new": f'type=~"{NEW}"', "any": ""}
    metric = "collectd_tc_portbytes_port_traffic_"

    def select(self, field, ports):
        match = self.ports[ports] and "," + self.ports[ports]
        return f'{self.metric}{field}_total{{instance="$host",tc_portbytes=~"$interface"{match}}}'

    def query(self, unit, ports, by, way):
        label = {"port": "type", "interface": "tc_portbytes", None: ""}[by]
        if ports == "interface":
            label = "interface"
            counters = [f'collectd_interface_if_octets_{field}_total{{instance="$host",'
                        'interface=~"$interface"}' for field in FIELDS[way]]
        else:
            counters = [self.select(counter(field, unit), ports) for field in FIELDS[way]]
        rate = " + ".join(f"rate({each}[$__rate_interval])" for each in counters)
        if ports in ("busiest", "rest"):
            grown = " + ".join(f"increase({self.select(field, ports)}[$__range] @ end())"
                               for field in ("rx_bytes", "tx_bytes"))
            rate += " and" if ports == "busiest" else " unless"
            rate += f" on (type) topk($top, sum by (type) ({grown}))"
        return f"{'8 * ' * (unit == 'bits')}sum{label and f' by ({label}) '}({rate})"

    def target(self, unit, ports, by, legend, way):
        if ports == "interface":
            legend = legend.replace("{{tc_portbytes}}", "{{interface}}")
        return {"expr": self.query(unit, ports, by, way), "legendFormat": legend,
                "editorMode": "code", "range": True}

    def totals(self):
        for field in ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets"):
            yield {"expr": f"sum by (type) (increase({self.select(field, 'any')}[$__range]))",
                   "legendFormat": "", "editorMode": "code", "range": False, "format": "table",
                   "instant": True}

    columns = {"type": "port", "Value #A": "bytes in", "Value #B": "bytes out",
               "Value #C": "packets in", "Value #D": "packets out"}

    def variables(self):
        for name, label, match in (
                ("host", "instance", ""), ("interface", "tc_portbytes", '{instance="$host"}'),
                ("port", "type", '{instance="$host",tc_portbytes=~"$interface"}')):
            query = f"label_values({self.metric}rx_bytes_total{match}, {label})"
            yield name, {"query": {"query": query, "refId": name}}

    def annotations(self):
        """Prometheus does not get collectd's notifications; it has the alerts of its own rules, or
        of vmalert's. Some have no interface. PortNew is left out: "New ports" needs no rule."""
        yield self.annotation(
            "Alerts", "red", "{{alertname}}",
            'ALERTS{alertstate="firing",alertname!="PortNew",instance="$host",'
            'tc_portbytes=~"$interface|"}')
        # On an interface that had values before. Grafana leaves out what is 0.
        yield self.annotation(
            "New ports", "blue", "new: {{type}}",
            f"{self.select('rx_bytes', 'new')} + {self.select('tx_bytes', 'new')} unless"
            f" present_over_time({self.select('rx_bytes', 'new')}[1h] offset 5m)"
            f" and on (tc_portbytes) {self.select('rx_bytes', 'any')} offset 5m")

    @staticmethod
    def annotation(name, color, title, expr):
        # By its version, Grafana reads the query from target or from expr. Labels that a series
        # does not have are no tags; in a format, their names would be shown.
        return {"name": name, "iconColor": color, "titleFormat": title,
                "tagKeys": "type,tc_portbytes,severity", "expr": expr, "step": "60s",
                "target": {"refId": "Anno", "expr": expr}}


class InfluxDB:
    """InfluxDB 1.x by InfluxQL."""

    name, plugin, uid = "InfluxDB", "influxdb", "tc-portbytes-influx"
    port = "${__field.labels.type_instance}"
    several_interfaces = True
    legend = {"PORT": "$tag_type_instance", "INTERFACE": "$tag_instance"}
    ports = {"all": "\"type_instance\" != 'decrypted'",
             "busiest": '"type_instance" =~ /^$busiest$/',
             "rest": "\"type_instance\" != 'decrypted' AND \"type_instance\" !~ /^$busiest$/",
             "chosen": '"type_instance" =~ /^$port$/', "groups": '"type_instance" =~ /^group-/',
             "folded": f'"type_instance" =~ /^{FOLDED}$/',
             "others": f'"type_instance" !~ /^({FOLDED}|decrypted)$/',
             "interface": "\"type\" = 'if_octets'"}
    where = '"host" =~ /^$host$/ AND "instance" =~ /^$interface$/'

    def target(self, unit, ports, by, legend, way):
        measurement = "interface" if ports == "interface" else "tc_portbytes"
        fields = [field if ports == "interface" else counter(field, unit) for field in FIELDS[way]]
        rate = " + ".join(f'non_negative_derivative(last("{field}"), 1s)' for field in fields)
        rate += " * 8" * (unit == "bits")
        tag = {"port": ', "type_instance"', "interface": ', "instance"', None: ""}[by]
        return self.raw(
            f'SELECT sum("r") FROM (SELECT {rate} AS "r" FROM "{measurement}"'
            f" WHERE {self.where} AND {self.ports[ports]} AND $timeFilter"
            ' GROUP BY time($__interval), "instance", "type_instance" fill(none))'
            f" WHERE $timeFilter GROUP BY time($__interval){tag} fill(none)", legend)

    @staticmethod
    def raw(query, legend, form="time_series"):
        return {"query": query, "rawQuery": True, "resultFormat": form, "alias": legend}

    def totals(self):
        names = [(field, way, what) for what in ("bytes", "packets")
                 for field, way in (("rx", "in"), ("tx", "out"))]
        sums = ", ".join(f'sum("{f}_{what}") AS "{what} {way}"' for f, way, what in names)
        grown = ", ".join(f'non_negative_difference("{f}_{what}") AS "{f}_{what}"'
                          for f, _, what in names)
        yield self.raw(
            f'SELECT {sums} FROM (SELECT {grown} FROM "tc_portbytes" WHERE {self.where} AND'
            ' $timeFilter GROUP BY "instance", "type_instance")'
            ' WHERE $timeFilter GROUP BY "type_instance"', "", "table")

    columns = {"type_instance": "port"}

    def variables(self):
        for name, tag, where in (
                ("host", "host", ""), ("interface", "instance", ' WHERE "host" =~ /^$host$/'),
                ("port", "type_instance", f" WHERE {self.where}")):
            yield name, {"query": f'SHOW TAG VALUES FROM "tc_portbytes" WITH KEY = "{tag}"{where}'}
        # A panel's query can't choose them itself.
        yield "busiest", {"query": (
            'SELECT "type_instance", "bytes" FROM (SELECT top("bytes", "type_instance", $top) AS'
            ' "bytes" FROM (SELECT spread("rx_bytes") + spread("tx_bytes") AS "bytes" FROM'
            f' "tc_portbytes" WHERE {self.where} AND {self.ports["all"]} AND $timeFilter'
            ' GROUP BY "instance", "type_instance"))')}

    def annotations(self):
        """None: neither way into InfluxDB takes notifications, and InfluxQL can't ask which series
        have no earlier value."""
        return ()


class Graphite:
    """Graphite 1.1, with port_traffic or the types of StandardTypes."""

    name, plugin, uid = "Graphite", "graphite", "tc-portbytes-graphite"
    port = "${__series.name}"  # series have no labels
    several_interfaces = False
    legend = {"PORT": "${__series.name}", "INTERFACE": "$interface"}
    ports = {"all": "*", "busiest": "*", "rest": "*", "others": "*", "chosen": "$port",
             "groups": "group-*", "folded": "{tcp,udp,sctp}-{ephemeral,other}",
             "new": "{tcp,udp,sctp}-[0-9]*"}
    plain = staticmethod(lambda series: f"aliasSub({series}, '^[a-z_]+-', '')")  # without the type

    def select(self, unit, ports, way):
        if ports == "interface":
            return f"collectd.$host.interface-$interface.if_octets.{FIELDS[way][0]}"
        fields = ",".join(f"{counter(field, unit)},{field}" for field in FIELDS[way])
        series = ("collectd.$host.tc_portbytes-$interface.{port_traffic,if_%s}-%s.{%s}" % (
            "packets" if unit == "packets" else "octets", self.ports[ports], fields))
        if self.ports[ports] == "*":
            left_out = f"({FOLDED}|decrypted)" if ports == "others" else "decrypted"
            series = f"exclude({series}, '_(traffic|octets)-{left_out}[.]')"
        return series

    def target(self, unit, ports, by, legend, way):
        paths = self.select(unit, ports, way)
        rate = f"scaleToSeconds(nonNegativeDerivative(keepLastValue({paths}, 5)), 1)"
        highest = f"highest({rate}, $top, 'sum')"
        if ports == "busiest":
            rate = highest
        elif ports == "rest":
            rate = f"diffSeries(sumSeries({rate}), sumSeries({highest}))"
        if unit == "bits":
            rate = f"scale({rate}, 8)"
        if by == "port":
            return {"target": self.plain(f"groupByNode({rate}, 3, 'sum')")}
        return {"target": f"alias(sumSeries({rate}), '{legend}')"}

    def totals(self):
        """None: Grafana can't join the sums of four queries to a table's rows."""
        return ()

    def variables(self):
        yield "host", {"query": "collectd.*"}
        yield "interface", {"query": "collectd.$host.tc_portbytes-*",
                            "regex": "/tc_portbytes-(.*)/"}
        yield "port", {"query": "collectd.$host.tc_portbytes-$interface.*",
                       "regex": "/(?:port_traffic|if_octets)-(.*)/"}

    def annotations(self):
        """write_graphite sends no notifications. New ports: 1 at the first value of a series that
        has none at the beginning of the time shown; Grafana leaves out what is 0."""
        first = f"isNonNull(keepLastValue({self.select('bytes', 'new', 'in')}))"
        target = self.plain(f"aliasByNode(nonNegativeDerivative({first}), 3)")
        yield {"name": "New ports", "iconColor": "blue",
               "target": {"refId": "Anno", "fromAnnotations": True, "target": target}}


# ---- what all have in common ----


def source(store):
    return {"type": store.plugin, "uid": f"${{DS_{store.name.upper()}}}"}


def variable(store, name, query):
    several = name == "busiest" or (name == "interface" and store.several_interfaces)
    everything = {"current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    return {"name": name, "label": name.capitalize(), "type": "query", "datasource": source(store),
            "regex": "", "refresh": 2, "sort": 7, "hide": 2 if name == "busiest" else 0,
            "multi": several, "includeAll": several, **(everything if several else {}), **query}


def top_variable():
    options = [{"text": n, "value": n, "selected": n == "10"} for n in ("5", "10", "20", "50")]
    return {"name": "top", "label": "Busiest ports", "type": "custom", "query": "5,10,20,50",
            "hide": 0, "multi": False, "includeAll": False, "current": options[1],
            "options": options}


def detail(port):
    """The link to a port's detail: this dashboard with another choice of $port"""
    return {"id": "links", "value": [{
        "title": "Detail of this port",
        "url": "/d/${__dashboard.uid}?${__url_time_range}&${host:queryparam}"
               f"&${{interface:queryparam}}&${{top:queryparam}}&var-port={port}"}]}


def look(store, ports, by, legend, way):
    """What is particular to the series of a query, as an override's properties"""
    if way == "out":
        yield {"id": "custom.transform", "value": "negative-Y"}
    if ports == "interface":
        yield {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [6, 6]}}
    if by == "port" and ports != "chosen":
        yield detail(store.port)
    if "${" in legend and legend != store.port:
        yield {"id": "displayName", "value": legend}


def panel(store, kind, title, description, targets, field_config, **more):
    """targets: the store's, without refId and data source"""
    targets = [{"refId": ref, **target, "datasource": source(store)}
               for ref, target in zip("ABCD", targets)]
    return {"type": kind, "title": title, "description": description, "targets": targets,
            "fieldConfig": field_config, **more, "datasource": source(store)}


def graph(store, title, description, series, fill=0, stack="none"):
    targets, overrides = [], []
    for ref, (unit, ports, by, legend, way) in zip("ABCD", series):
        for word, name in store.legend.items():
            legend = legend.replace(word, name)
        targets.append(store.target(unit, ports, by, legend, way))
        if properties := list(look(store, ports, by, legend, way)):
            overrides.append({"matcher": {"id": "byFrameRefID", "options": ref},
                              "properties": properties})
    unit = {"bits": "bps", "bytes": "Bps", "packets": "pps"}[series[0][0]]
    style = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": fill, "showPoints": "never",
             "stacking": {"mode": stack, "group": "A"}}
    return panel(
        store, "timeseries", title, description, targets,
        {"defaults": {"unit": unit, "custom": style}, "overrides": overrides},
        options={"legend": {"displayMode": "table", "placement": "right", "showLegend": True,
                            "calcs": ["mean", "max"], "sortBy": "Mean", "sortDesc": True},
                 "tooltip": {"mode": "multi", "sort": "desc"}})


def totals(store):
    packets = {"matcher": {"id": "byRegexp", "options": "packets .*"},
               "properties": [{"id": "unit", "value": "short"}]}
    port = {"matcher": {"id": "byName", "options": "port"},
            "properties": [detail("${__value.text}")]}
    order = {"excludeByName": {"Time": True}, "renameByName": store.columns}
    return panel(
        store, "table", "Totals", "What passed in the time shown. \"decrypted\" passed once, as ESP"
        " or AH, and is counted there already.", store.totals(),
        {"defaults": {"unit": "decbytes", "custom": {"align": "auto"}},
         "overrides": [packets, port]},
        transformations=[{"id": "merge", "options": {}}, {"id": "organize", "options": order}],
        options={"showHeader": True, "sortBy": [{"displayName": "bytes in", "desc": True}]})


def both(unit, ports, by, legend):
    return [(unit, ports, by, legend.replace("WAY", way), way) for way in ("in", "out")]


def rows(store):
    """(title or None, collapsed, panels)"""
    above_below = "In above the axis, out below it."
    yield None, False, [graph(
        store, "Busiest ports: in above, out below",
        "The busiest ports of the time shown, stacked; all others are \"the rest\". Without"
        " \"decrypted\", which is in another series already, as ESP or AH. A click on a series"
        " leads to its detail.",
        both("bits", "busiest", "port", "PORT WAY") + both("bits", "rest", None, "the rest WAY"),
        40, "normal")]
    yield "Port $port", False, [
        graph(store, f"$port: {unit}", above_below, both(unit, "chosen", "port", "PORT WAY"))
        for unit in ("bits", "packets")]
    # Collapsed, its queries are not run: most hosts have no groups.
    yield "Groups", True, [
        graph(store, f"Groups: {unit}", above_below, both(unit, "groups", "port", "PORT WAY"))
        for unit in ("bits", "packets")]
    yield "Interface", False, [
        graph(store, "All ports against the interface's counters",
              "The sum over all series of tc_portbytes but \"decrypted\" (lines) and the"
              " interface's own counters as collectd's plugin interface reads them (dashed): the"
              " same, but for packets of GSO and GRO, whose headers the interface may count once.",
              both("bits", "all", "interface", "INTERFACE WAY: ports")
              + both("bits", "interface", "interface", "INTERFACE WAY: interface")),
        graph(store, "Shares: ephemeral and other",
              "What has no series of its own: the ephemeral ports (mostly this host as a client)"
              " and \"other\". If \"other\" is large, see MaxPorts, MinBytes and TopPorts.",
              [("bytes", "folded", "port", "PORT", None),
               ("bytes", "others", None, "all other series", None)], 40, "percent")]
    if list(store.totals()):
        yield None, False, [totals(store)]


def numbered_panels(store):
    """One that is alone has the whole width, two have half of it each."""
    number = y = 0
    for title, collapsed, members in rows(store):
        row = {"type": "row", "title": title, "collapsed": collapsed, "panels": []}
        if title:
            number += 1
            row |= {"id": number, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}}
            yield row
            y += 1
        width, height = 24 // len(members), 11 if len(members) == 1 else 9
        for place, member in enumerate(members):
            number += 1
            member |= {"id": number,
                       "gridPos": {"x": place * width, "y": y, "w": width, "h": height}}
        if collapsed:
            row["panels"] = members
        else:
            yield from members
            y += height


def dashboard(store):
    variables = [variable(store, *each) for each in store.variables()]
    variables.insert(3, top_variable())  # before busiest, which needs it
    return {
        "__inputs": [{"name": f"DS_{store.name.upper()}", "label": store.name, "description": "",
                      "type": "datasource", "pluginId": store.plugin, "pluginName": store.name}],
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "9.0.0"},
            {"type": "datasource", "id": store.plugin, "name": store.name, "version": "1.0.0"}],
        "title": f"tc_portbytes: traffic by port ({store.name})", "uid": store.uid, "id": None,
        "schemaVersion": 36, "version": 1, "editable": True, "tags": ["collectd", "tc_portbytes"],
        "timezone": "browser", "graphTooltip": 1, "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s", "links": [], "templating": {"list": variables},
        "annotations": {"list": [{"enable": True, "datasource": source(store), **each}
                                 for each in store.annotations()]},
        "panels": list(numbered_panels(store))}


def main():
    directory = pathlib.Path(sys.argv[1] if sys.argv[1:] else pathlib.Path(__file__).parent)
    for store in (Graphite(), InfluxDB(), Prometheus()):
        text = json.dumps(dashboard(store), indent=2) + "\n"
        (directory / f"{store.plugin}.json").write_text(text, encoding="utf-8")


main()
