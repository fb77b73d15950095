# SPDX-License-Identifier: MIT
"""The tests of differential.sh, in TAP."""

import itertools
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter

import captures
import cases
import frames
import gso
import kernel
import mutate
import reference
import tshark

SEED = 20240229
SEEDS_PER_FILE = 4
MUTANTS = int(os.environ.get("PB_MUTANTS", 1000000))  # on an Ethernet link; others in proportion


class Tap:
    def __init__(self):
        self.count = self.failed = 0
        self.began = time.monotonic()

    def result(self, ok, name, notes=()):
        for note in notes:
            print(note if note.startswith("#") else "# " + note)
        self.count += 1
        self.failed += not ok
        took = time.monotonic() - self.began
        print("%s %d - %s" % ("ok" if ok else "not ok", self.count, name))
        print("# %.1f s" % took, flush=True)
        self.began = time.monotonic()

    def skip(self, name, why):
        self.count += 1
        print("ok %d - %s # SKIP %s" % (self.count, name, why), flush=True)

    def end(self):
        print("1..%d" % self.count)
        return 1 if self.failed else 0


def told(key):
    return " ".join(str(word) for word in key)


def find_captures(directory):
    """Package and path of each capture file, in a fixed order."""
    for package in sorted(os.listdir(directory)):
        paths = []
        for parent, _, names in os.walk(os.path.join(directory, package)):
            paths += [os.path.join(parent, name) for name in names]
        for path in sorted(paths):
            yield package, path


def hand_written(tap, topic):
    """Both the reference and the kernel against the table."""
    notes, kernels, steps, expectations = [], {}, 0, 0
    wrong = 0
    for scene in topic():
        how = (scene.link, scene.count_by)
        if how not in kernels:
            kernels[how] = kernel.Kernel(*how)
        kernels[how].source("%s: %s" % (topic.__name__, scene.name))
        reader = reference.Reference(*how)
        for count, step in enumerate(scene.steps, 1):
            steps += 1
            expected = []
            for direction, text in (("in", step.into), ("eg", step.out)):
                if text is None:
                    expected.append(None)
                    continue
                expectations += 1
                key = cases.key(text)
                expected.append((key, 1, len(step.frame) - cases.uncounted(scene.link)))
                got = reader.read(step.frame, direction, step.protocol)
                if got != key:
                    wrong += 1
                    if wrong <= 10:
                        notes.append("%s, frame %d, %s: expected %s, the reference says %s: %s" %
                                     (scene.name, count, direction, text, told(got),
                                      step.frame.hex()))
            kernels[how].send(step.frame, count, *expected, forget=count == 1)
    ok = wrong == 0
    if wrong:
        notes.append("the reference differs from the table %d times" % wrong)
    on_device = 0
    for one in kernels.values():
        good, more, _, sent = one.finish()
        ok, on_device = ok and good, on_device + sent
        notes += more
    if on_device:
        notes.append("%d of %d runs through a device" % (on_device, expectations))
    tap.result(ok, "%s: %d frames by hand, kernel and reference" %
               (topic.__doc__, steps), notes)


class Corpus:
    """All capture files, fed to kernel and reference; what tshark needs is kept."""

    def __init__(self, directory, workdir, shortest, longest):
        self.directory = directory
        self.shortest, self.longest = shortest, longest
        self.seeds = {"ethernet": [], "raw": []}
        self.paths = {link: os.path.join(workdir, link + ".pcap") for link in self.seeds}
        self.read = {"ethernet": [], "raw": []}  # keys and epoch of each frame, for tshark

    def run(self, tap):
        files = {link: open(path, "wb") for link, path in self.paths.items()}
        add = {"ethernet": captures.write_pcap(files["ethernet"], captures.ETHERNET),
               "raw": captures.write_pcap(files["raw"], captures.RAW_IP[-1])}
        packages = {}
        for package, path in find_captures(self.directory):
            packages.setdefault(package, []).append(path)
        for package, paths in packages.items():
            self.package(tap, package, paths, add)
        for file in files.values():
            file.close()

    def package(self, tap, package, paths, add):
        pairs = {"ethernet": kernel.Pair("ethernet"), "raw": kernel.Pair("raw")}
        bare = kernel.Pair("raw")
        chosen = random.Random(SEED)
        count, links = Counter(), Counter()
        for path in paths:
            name = os.path.relpath(path, self.directory)
            for pair in (*pairs.values(), bare):
                pair.source(name)
            of_file = []
            usable = False
            for number, (link_type, frame, original) in enumerate(captures.read(path), 1):
                seen = captures.unwrap(link_type, frame)
                if seen is None:
                    count["link"] += 1
                    links[link_type] += 1
                    continue
                link, frame, protocol = seen
                if len(frame) < self.shortest:
                    count["short"] += 1
                    continue
                if len(frame) > self.longest:
                    count["long"] += 1
                    continue
                if link == "raw":
                    frame = frames.on_raw_link(protocol, frame)
                usable = True
                count["frames"] += 1
                pair = pairs[link]
                keys = pair.feed(frame, protocol, number)
                cut_off = max(0, original - len(seen[1])) if link_type == captures.ETHERNET else 0
                add[link](frame, len(frame) + cut_off)
                self.read[link].append((keys, (package, name, pair.epoch), number))
                of_file.append((link, frame))
                if link == "ethernet" and len(frame) >= self.shortest + 14:
                    protocol = int.from_bytes(frame[12:14], "big")
                    if protocol in (frames.IPV4, frames.IPV6):
                        bare.feed(frames.on_raw_link(protocol, frame[14:]), protocol, number)
                        count["bare"] += 1
            count["files"] += usable
            for link, frame in chosen.sample(of_file, min(SEEDS_PER_FILE, len(of_file))):
                if len(frame) <= 600:
                    self.seeds[link].append(frame)
        ok, notes = True, []
        for pair in (*pairs.values(), bare):
            good, more, _, sent = pair.kernel.finish()
            ok = ok and good
            count["device"] += sent
            notes += more
        notes.append("%d runs through a device" % count["device"])
        notes.append("%d of %d files; left out: %d frames under %d bytes, %d over %d, "
                     "%d of other link types (%s)" %
                     (count["files"], len(paths), count["short"], self.shortest, count["long"],
                      self.longest, count["link"], " ".join(
                          "%d: %d" % item for item in sorted(links.items())) or "none"))
        tap.result(ok and count["files"] > 0,
                   "%s: %d capture files, %d frames, %d of them again without link header, "
                   "kernel == reference" %
                   (package, count["files"], count["frames"], count["bare"]), notes)
        self.files = getattr(self, "files", 0) + count["files"]
        self.frames = getattr(self, "frames", 0) + count["frames"]


def second_opinion(tap, corpus, workdir):
    compared = differ = 0
    notes, reasons = [], Counter()
    for link, path in corpus.paths.items():
        opinion = tshark.Opinion()
        epoch = None
        seen = 0
        for (keys, where, number), frame in zip(corpus.read[link],
                                                tshark.dissect(path, workdir)):
            seen += 1
            if int(frame["frame.number"][0]) != seen:
                raise RuntimeError("tshark lost a frame")
            if where != epoch:
                opinion.forget()
                epoch = where
            try:
                theirs = opinion.keys(frame)
            except tshark.NotCompared as reason:
                reasons[str(reason)] += 1
                continue
            compared += 1
            if theirs != keys:
                differ += 1
                if differ <= 10:
                    notes.append("%s, frame %d: the reference says %s and %s, tshark %s and %s" %
                                 (where[1], number, told(keys[0]), told(keys[1]),
                                  told(theirs[0]), told(theirs[1])))
        if seen != len(corpus.read[link]):
            notes.append("tshark read %d of %d frames" % (seen, len(corpus.read[link])))
            differ += 1
    notes.append("compared: the outermost protocol and ports, local at ingress and at egress, "
                 "fragments included")
    for reason, count in reasons.most_common():
        notes.append("not compared: %d frames, %s" % (count, reason))
    total = compared + sum(reasons.values())
    tap.result(differ == 0 and compared > total // 2,
               "tshark agrees with the reference on %d of %d corpus frames, %d differences" %
               (compared, total, differ), notes)


def fuzz(tap, seeds, link, count_by, wanted, shortest, longest, how=()):
    """The seeds as they are, then their mutants."""
    source = random.Random("%d %s %s" % (SEED, link, count_by))
    pair = kernel.Pair(link, count_by, how)
    pair.source("mutants of seed %d" % SEED)
    keys = Counter()
    for frame in itertools.chain(seeds, mutate.mutants(source, seeds, shortest, longest)):
        protocol = None
        if link in ("raw", "bare"):
            protocol = reference.be16(frame, 12)
            if source.random() < 0.9:
                protocol = frames.IPV6 if frame[0] >> 4 == 6 else frames.IPV4
                frame = frames.on_raw_link(protocol, frame)
        elif link != "ethernet":
            protocol = reference.be16(frame, 12)
        if protocol in reference.VLAN_TYPES and (link == "bare" or link != "raw" and not how):
            continue  # a tag of nothing; or test_run may refuse the frame, and a device untags it
        if link in reference.WITH_HEADER and how and \
                reference.be16(frame, 12) in reference.VLAN_TYPES and len(frame) < 20:
            continue  # the kernel drops what is too short for a tag (skb_vlan_untag)
        into, _ = pair.feed(frame, protocol)
        keys[into[0]] += 1
        if pair.count == wanted + len(seeds):
            break
    ok, notes, _, sent = pair.kernel.finish()
    notes.append("%d runs through a device" % sent)
    notes.append("keys at ingress: " + ", ".join("%s %d" % item for item in keys.most_common()))
    where = {(): "", ("--device",): " through a device",
             ("--split",): " in pieces through a device"}[how]
    tap.result(ok, "%d seeds and %d mutants on %s links by %s%s, kernel == reference" %
               (len(seeds), wanted, link, count_by, where), notes)


def truncations(tap, seeds, shortest, longest):
    pair = kernel.Pair()
    pair.source("truncations")
    for frame in seeds:
        for length in range(shortest, min(len(frame), 140, longest) + 1):
            pair.feed(frame[:length])
    ok, notes, _, _ = pair.kernel.finish()
    tap.result(ok, "%d frames cut at every offset up to 140, %d in all, kernel == reference" %
               (len(seeds), pair.count), notes)


def segmentation(tap):
    """The table of gso.py, then a sweep with the reference's arithmetic."""
    kernels, notes, wrong, count = {}, [], 0, 0
    for case in gso.CASES:
        how = case.link
        if how not in kernels:
            kernels[how] = kernel.Kernel(how)
        count += 1
        kernels[how].source("segmentation: " + case.name)
        expected = [(cases.key(k), p, b) for k, p, b in (case.into, case.out)]
        for direction, want in zip(("in", "eg"), expected):
            got = reference.Reference(how).on_the_wire(case.frame, direction, case.protocol,
                                                       *case.gso)
            if got != want:
                wrong += 1
                notes.append("%s, %s: expected %s, the reference says %s" %
                             (case.name, direction, want, got))
        kernels[how].send(case.frame, 1, *expected, gso=case.gso)
    ok = wrong == 0
    for one in kernels.values():
        good, more, _, _ = one.finish()
        ok = ok and good
        notes += more
    tap.result(ok, "Segmentation offload: %d skbs by hand, kernel and reference" % count, notes)

    source = random.Random(SEED)
    fed = kernel.Kernel()
    fed.source("segmentation sweep")
    reader = reference.Reference()
    count = 0
    for frame, parameters in gso.sweep(source, 20000):
        count += 1
        fed.send(frame, count, reader.on_the_wire(frame, "in", None, *parameters),
                 reader.on_the_wire(frame, "eg", None, *parameters), gso=parameters)
    ok, notes, _, _ = fed.finish()
    tap.result(ok, "Segmentation offload: %d skbs by arithmetic, kernel == reference" % count,
               notes)

    ok, notes, count = True, [], 0
    for link in "ethernet", "gre", "foreign":
        source = random.Random(SEED)
        fed = kernel.Kernel(link)
        fed.source("segmentation, tunnels, link %s" % link)
        reader = reference.Reference(link)
        for frame, parameters in gso.tunnels(source, 20000):
            count += 1
            protocol = reference.be16(frame, 12)
            fed.send(frame, count, reader.on_the_wire(frame, "in", protocol, *parameters),
                     reader.on_the_wire(frame, "eg", protocol, *parameters), gso=parameters)
        good, more, _, _ = fed.finish()
        ok = ok and good
        notes += more
    tap.result(ok, "Segmentation offload: %d skbs of tunnels, kernel == reference" % count, notes)


def rows(tap):
    """rows.c, test by test."""
    run = subprocess.run([os.environ["PB_ROWS"]], stdout=subprocess.PIPE, text=True)
    results = re.findall(r"^(ok|not ok) \d+ - (.*?)(?: # SKIP (.*))?$", run.stdout, re.M)
    for verdict, name, why in results:
        if why:
            tap.skip("rows: " + name, why)
        else:
            tap.result(verdict == "ok", "rows: " + name)
    failed = any(verdict != "ok" for verdict, _, _ in results)
    complete = "1..%d" % len(results) in run.stdout.splitlines()
    tap.result(complete and run.returncode == failed, "rows: ran to its end",
               [] if complete and not failed else run.stdout.splitlines())


def main():
    directory, no_corpus, no_tshark = sys.argv[1:4]
    tap = Tap()
    shortest, of_test_run, longest = kernel.limits()
    print("# frames of %d to %d bytes fit test_run here, up to %d can be sent" %
          (shortest, of_test_run, longest))
    rows(tap)
    for topic in cases.TOPICS:
        hand_written(tap, topic)
    segmentation(tap)

    seeds = {"ethernet": [], "raw": []}
    for topic in cases.TOPICS:
        if topic not in (cases.every_ethertype, cases.every_port, cases.truncated):
            for scene in topic():
                if scene.link in seeds:
                    seeds[scene.link] += [step.frame for step in scene.steps[:8]
                                          if len(step.frame) <= 600]
    seeds = {link: sorted(set(some)) for link, some in seeds.items()}
    for link, alike in (("gre", "ethernet"), ("foreign", "ethernet"), ("bare", "raw")):
        seeds[link] = seeds[alike]
    with tempfile.TemporaryDirectory() as workdir:
        if no_corpus:
            for name in ("capture files", "tshark agrees with the reference"):
                tap.skip(name, no_corpus)
        else:
            corpus = Corpus(directory, workdir, shortest, longest)
            corpus.run(tap)
            tap.result(corpus.files >= 100, "the corpus: %d capture files, %d frames" %
                       (corpus.files, corpus.frames))
            if no_tshark:
                tap.skip("tshark agrees with the reference", no_tshark)
            else:
                second_opinion(tap, corpus, workdir)
            for link, some in corpus.seeds.items():
                seeds[link] += some
    truncations(tap, random.Random(SEED).sample(seeds["ethernet"], 600), shortest, longest)
    for link, count_by, wanted in (("ethernet", "local", MUTANTS),
                                   ("raw", "local", MUTANTS // 2),
                                   ("ethernet", "remote", MUTANTS // 25),
                                   ("ethernet", "lower", MUTANTS // 25),
                                   ("ethernet", "source", MUTANTS // 25),
                                   ("raw", "destination", MUTANTS // 25),
                                   ("gre", "local", MUTANTS // 25),
                                   ("foreign", "local", MUTANTS // 25)):
        fuzz(tap, seeds[link], link, count_by, wanted, shortest, longest)
    for link, how in (("ethernet", "--device"), ("raw", "--device"), ("ethernet", "--split"),
                      ("gre", "--device"), ("foreign", "--split"), ("bare", "--device")):
        if longest > of_test_run:
            fuzz(tap, seeds[link], link, "local", MUTANTS // 5, shortest, longest, (how,))
        else:
            tap.skip("mutants on %s links (%s)" % (link, how), "no tap device here")
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
