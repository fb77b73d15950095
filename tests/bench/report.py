#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""report.py SAMPLES JSON: tables of medians from the samples of run.sh, the targets, the same as JSON."""
import json
import re
import sys
from collections import OrderedDict

EMPTY = "empty program"
TEXTBOOK = "textbook (PERCPU_HASH)"
OURS = "tc_portbytes, default settings"
EVERY = "tc_portbytes, a counter per port"
OLD = "old revision, default settings"
OLD_EVERY = "old revision, a counter per port"
FLOOR = "parse, load table[key], add"
NOTHING = "nothing"
AGAIN = "nothing, once more"
HOOKS = "an empty program at the same hooks"
CLASSIFIER = "the classifier without collectd"
PLUGIN = "tc_portbytes"

TITLES = OrderedDict([
    ("packet", "1. One packet by test_run, IPv4 UDP [ns]"),
    ("kinds", "1b. tc_portbytes: other packets by test_run [ns]"),
    ("live", "2. One packet live on a veth, by bpf_stats [ns]"),
    ("feel", "3. Packets through a router, one CPU sending, 60 bytes each, by the clock [thousand/s]"),
    ("feel-cpu", "3b. CPU a packet: the sending CPU's time and the daemon's [ns]"),
    ("read", "4. One read, time on the wall [ms]"),
    ("read-cpu", "4b. One read, CPU time [ms]"),
    ("calls", "4c. One read, system calls"),
    ("guest-read", "4d. One read on emulated CPUs: for comparison with each other only [ms]"),
    ("guest-read-cpu", "4e. The same, CPU time [ms]"),
    ("memory", "5. Kernel memory, maps and programs [KiB]"),
    ("rss", "5b. collectd's own memory, RssAnon [KiB]"),
    ("dispatch", "6. In collectd, a read each second [ms]"),
    ("interfaces", "7. Interfaces, veth ends; a read each second; at rest, a read has one series of each"),
    ("load", "8. A local user's load, a read each second; two interfaces"),
    ("counted", "Counted, of what was sent [%]"),
])


TURNS = "16 interfaces in turn, six packets each"

CACHES = """\
  A ratio of net costs belongs to a processor and its caches. At one hot port revision ea4a1f6 had
  0.16 of the textbook's net cost on an EPYC with 1 MiB of L2 cache a core, and 0.70 to 0.85 on one
  with 512 KiB: the same program, on kernels of the same series. Hence two targets for one hot port.
"""


def quantile(ordered, part):
    at = (len(ordered) - 1) * part
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


class Series:
    """The samples of one variant in one case."""

    def __init__(self, values):
        self.values = values
        ordered = sorted(values)
        self.median = quantile(ordered, 0.5)
        self.low = quantile(ordered, 0.25)
        self.high = quantile(ordered, 0.75)


def number(value):
    if value == int(value) and abs(value) >= 100:
        return "%d" % value
    if abs(value) >= 1000:
        return "%.0f" % value
    if abs(value) >= 100:
        return "%.0f" % value
    if abs(value) >= 10:
        return "%.1f" % value
    return "%.2f" % value


def read_samples(path):
    about, notes, sections = OrderedDict(), [], OrderedDict()
    with open(path, encoding="utf-8") as file:
        for line in file:
            field = line.rstrip("\n").split("\t")
            if field[0] == "about":
                about[field[1]] = field[2]
            elif field[0] == "note":
                notes.append("%s: %s" % (field[1], field[2]))
            elif len(field) == 5:
                cases = sections.setdefault(field[0], OrderedDict())
                variants = cases.setdefault(field[1], OrderedDict())
                variants.setdefault(field[2], []).append(float(field[4]))
    for cases in sections.values():
        for variants in cases.values():
            for name in variants:
                variants[name] = Series(variants[name])
    return about, notes, sections


def net_ratio(variants, of, to):
    """Net of the empty program: ratio of the medians, and the quartiles over the rounds."""
    try:
        empty, one, other = variants[EMPTY], variants[of], variants[to]
    except KeyError:
        return None
    if other.median <= empty.median:
        return None
    rounds = sorted((a - e) / (b - e) for e, a, b in zip(empty.values, one.values, other.values)
                    if b > e)
    return ((one.median - empty.median) / (other.median - empty.median),
            quantile(rounds, 0.25), quantile(rounds, 0.75))


def old_ratio(variants, of, to):
    """Median and quartiles over the rounds: both cost nearly the same, so what else the machine
    does from round to round matters more here than the small cost in a single round."""
    try:
        rounds = sorted((a - e) / (b - e) for e, a, b in zip(
            variants[EMPTY].values, variants[of].values, variants[to].values) if b > e)
    except KeyError:
        return None
    return tuple(quantile(rounds, part) for part in (0.5, 0.25, 0.75)) if rounds else None


def print_netted(cases):
    for case, variants in cases.items():
        if EMPTY not in variants:
            continue
        print("\n  %-38s %8s %15s %8s %9s %13s" % (case, "median", "quartiles", "net",
                                                    "of text-", "quartiles"))
        print("  %-38s %8s %15s %8s %9s" % ("", "", "", "", "book's"))
        print_netted_rows(variants)
        for of, to in ((OURS, OLD), (EVERY, OLD_EVERY)):
            ratio = old_ratio(variants, of, to)
            if ratio:
                print("  %-71s %9.2f %13s" % ("%s, net, of the old revision's" % of, ratio[0],
                                              "%.2f-%.2f" % ratio[1:]))


def print_netted_rows(variants):
    for name, series in variants.items():
        line = "  %-38s %8s %15s" % (name, number(series.median), "%s-%s" % (
            number(series.low), number(series.high)))
        if not name.startswith(" "):
            line += " %8s" % number(series.median - variants[EMPTY].median)
            ratio = net_ratio(variants, name, TEXTBOOK)
            if ratio and name != EMPTY:
                line += " %9.2f %13s" % (ratio[0], "%.2f-%.2f" % ratio[1:])
        print(line)


def print_plain(cases):
    for case, variants in cases.items():
        print("\n  %-46s %9s %17s %4s" % (case, "median", "quartiles", "n"))
        for name, series in variants.items():
            print("  %-46s %9s %17s %4d" % (name, number(series.median), "%s-%s" % (
                number(series.low), number(series.high)), len(series.values)))


def print_interfaces(cases):
    """Names are "figure: variant": a row for each figure, a column for each variant."""
    for case, variants in cases.items():
        columns, rows = OrderedDict(), OrderedDict()
        for name, series in variants.items():
            figure, variant = name.split(": ")
            columns[variant] = None
            rows.setdefault(figure, {})[variant] = series
        ordered = [name for name in (PLUGIN, *columns) if name in columns]
        ordered = list(OrderedDict.fromkeys(ordered))
        print("\n  %-42s" % case + "".join("%22s" % name for name in ordered))
        for figure, of in rows.items():
            print("  %-42s" % figure + "".join(
                "%22s" % (number(of[name].median) if name in of else "-") for name in ordered))


def net_of(sections, section, case, of, to):
    reached = net_ratio(sections.get(section, {}).get(case, {}), of, to)
    return reached and reached[0]


def by_rounds(variants, of, to):
    """Ratios of the turns of one round."""
    if of not in variants or to not in variants:
        return []
    return sorted(a / b for a, b in zip(variants[of].values, variants[to].values))


def has_small_l2(about):
    """At most 512 KiB a core. Where that is unknown: no."""
    found = re.search(r"\bL2 (\d+) KiB", about.get("caches", ""))
    return bool(found) and int(found.group(1)) <= 512


def old_targets(sections, small_l2):
    """(what, target, reached or None), against the old revision"""
    found = []

    def ratio(section, case, limit, what):
        reached = old_ratio(sections.get(section, {}).get(case, {}), OURS, OLD)
        found.append((what + ", of the old revision's net cost", limit, reached and reached[0]))

    ratio("packet", "1 port", 0.75 if small_l2 else 1.0, "test_run, one hot port")
    ratio("packet", TURNS, 1.0, "test_run, 16 in turn")
    ratio("packet", "60,000 random ports", 1.1, "test_run, 60,000 ports")
    ratio("live", "1 port", 0.75 if small_l2 else 1.0, "live, one hot port")
    ratio("live", "60,000 random ports", 1.1, "live, 60,000 random ports")
    return found


def targets(sections, small_l2):
    """(what, target, reached or None)"""
    found = []

    def ratio(section, case, limit, what):
        found.append((what + ", of the textbook's net cost", limit,
                      net_of(sections, section, case, OURS, TEXTBOOK)))

    ratio("packet", "1 port", 0.6 if small_l2 else 0.25, "test_run, one hot port")
    ratio("packet", "65,536 ports", 0.1, "test_run, 65,536 ports")
    ratio("live", "1 port", 0.6 if small_l2 else 0.4, "live, one hot port")
    ratio("live", "60,000 random ports", 0.2, "live, 60,000 random ports")
    found += old_targets(sections, small_l2)
    kinds = sections.get("kinds", {}).get("ns", {})
    both = net_ratio(kinds, "IPv6 TCP", "IPv4 UDP")
    found.append(("IPv6, of IPv4's net cost", 1.3, both and both[0]))
    reads = [variants for case, variants in sections.get("read", {}).items()
             if case.startswith("1000 active ports") and case.endswith(" 2 CPUs")]
    whole = reads[0].get("tc_portbytes, the whole read") if reads else None
    found.append(("read of 1,000 ports on 2 CPUs, ms", 0.5, whole and whole.median))
    # By CPU time: what else the machine does takes time on the wall away from either. The
    # noise is what two equal turns of one round, with nothing both, differ by in three of
    # four rounds.
    many = sections.get("interfaces", {}).get("200 interfaces", {})
    for figure, limit, each in (("until init returns, s", 3, 1),
                                ("until all are attached, s", 20, 1), ("a stop, s", 10, 1),
                                ("kernel memory, KiB", 200, 200),
                                ("descriptors below 1,024", 100, 1)):
        series = many.get("%s: %s" % (figure, PLUGIN))
        found.append(("200 interfaces: %s%s" % (figure, " each" if each > 1 else ""), limit,
                      series and series.median / each))
    for case, variants in sections.get("feel-cpu", {}).items():
        equal = sorted(abs(1 - one) for one in by_rounds(variants, AGAIN, NOTHING))
        reached = by_rounds(variants, PLUGIN, NOTHING)
        if equal and reached:
            found.append(("CPU a packet through the router, %s, of that without" % case,
                          1 + quantile(equal, 0.75), quantile(reached, 0.5)))
    return found


def figures(sections):
    """(what, value): what explains the targets, or was none of them."""
    found = []

    def ratio(section, case, of, to, what):
        reached = net_of(sections, section, case, of, to)
        if reached is not None:
            found.append((what, reached))

    ratio("packet", "65,536 ports", EVERY, TEXTBOOK,
          "test_run, 65,536 ports, a counter each, of the textbook's")
    for case in ("60,000 random ports", "60,000 random ports, alone"):
        ratio("live", case, OURS, TEXTBOOK, "live, %s, of the textbook's" % case)
        ratio("live", case, FLOOR, TEXTBOOK, "  the one load it can't do without, of the textbook's")
        ratio("live", case, OURS, FLOOR, "  it, of that load")
    for case, variants in sections.get("feel-cpu", {}).items():
        for of, to, what in ((HOOKS, NOTHING, "the hooks alone, of nothing"),
                             (CLASSIFIER, NOTHING, "classifier alone, of nothing"),
                             (AGAIN, NOTHING, "nothing, of nothing")):
            ratios = by_rounds(variants, of, to)
            if ratios:
                found.append(("CPU a packet through the router, %s: %s" % (case, what),
                              quantile(ratios, 0.5)))
    return found


def main():
    about, notes, sections = read_samples(sys.argv[1])
    print("tc_portbytes: what it costs")
    print("===========================\n")
    for name, value in about.items():
        print("%-22s %s" % (name, value))
    for note in notes:
        print("note: " + note)
    print("\nEach figure is the median of rounds in which all variants took turns; the quartiles")
    print("show the spread. net: less the empty program's.")

    small_l2 = has_small_l2(about)
    reached = targets(sections, small_l2)
    print("\n0. Targets, for %s 512 KiB of L2 cache a core%s\n" % (
        "at most" if small_l2 else "more than",
        " (its size is unknown)" if "L2" not in about.get("caches", "") else ""))
    print(CACHES)
    print("  %-62s %8s %8s" % ("", "at most", "reached"))
    for what, limit, value in reached:
        verdict = "not measured" if value is None else "" if value <= limit else "MISSED"
        digits = 3 if what.startswith("CPU") else 2
        print("  %-62s %8.*f %8s  %s" % (what, digits, limit, "-" if value is None
                                         else "%.*f" % (digits, value), verdict))
    explained = figures(sections)
    if explained:
        print("\n0b. Not targets: net costs and CPU, as ratios\n")
        for what, value in explained:
            print("  %-71s %8.*f" % (what, 3 if what.startswith("CPU") else 2, value))
    for section, title in TITLES.items():
        if section not in sections:
            continue
        print("\n" + title)
        if section in ("packet", "live", "kinds"):
            print_netted(sections[section])
        elif section == "interfaces":
            print_interfaces(sections[section])
        else:
            print_plain(sections[section])

    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({
            "about": about,
            "notes": notes,
            "targets": [{"what": what, "at_most": limit, "reached": value}
                        for what, limit, value in reached],
            "figures": [{"what": what.strip(), "value": value} for what, value in explained],
            "sections": {section: {case: {name.strip(): {
                "median": series.median, "low": series.low, "high": series.high,
                "number": len(series.values)} for name, series in variants.items()}
                for case, variants in cases.items()} for section, cases in sections.items()},
        }, file, indent=1)
        file.write("\n")


main()
