"""Stands in for prom/statsd-exporter, which has no package: names and labels by the mapping, tags as labels.

It knows counters and gauges, and no `ttl`: nothing here is dropped after an hour.
"""

import re
import socketserver
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import yaml
from prometheus_client import REGISTRY, start_http_server
from prometheus_client.core import UntypedMetricFamily

Series = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name, and its labels in order."""

values: dict[Series, float] = {}
mappings: list[dict[str, str]] = []
lock = threading.Lock()


def renamed(metric: str) -> tuple[str, dict[str, str]]:
    """Return name and labels by the first mapping that matches."""
    for mapping in mappings:
        pattern = re.escape(mapping["match"]).replace(r"\*", "([^.]*)")
        if found := re.fullmatch(pattern, metric):

            def filled(text: str, found: re.Match[str] = found) -> str:
                return re.sub(r"\$(\d)", lambda number: found[int(number[1])], text)

            return filled(mapping["name"]), {key: filled(text) for key, text in mapping.get("labels", {}).items()}
    return re.sub(r"\W", "_", metric), {}


class Listener(socketserver.BaseRequestHandler):
    """Takes datagrams with lines such as `name,tag=value:1|c`."""

    def handle(self) -> None:
        """Add counters, replace gauges."""
        for line in self.request[0].decode().splitlines():
            head, _, measured = line.rpartition(":")
            number, kind = measured.split("|")[:2]
            metric, *tags = head.split(",")
            name, labels = renamed(metric)
            series = name, tuple(sorted((labels | dict(tag.split("=", 1) for tag in tags)).items()))
            with lock:
                if kind == "c":
                    values[series] = values.get(series, 0) + float(number)
                elif kind == "g":
                    values[series] = float(number)


class Collector:
    """What Prometheus reads."""

    def collect(self) -> Iterator[UntypedMetricFamily]:
        """Yield each series with its value of now."""
        with lock:
            now = dict(values)
        for name in sorted({name for name, _ in now}):
            family = UntypedMetricFamily(name, name)
            for (of, labels), value in now.items():
                if of == name:
                    family.add_sample(name, dict(labels), value)
            yield family


if __name__ == "__main__":
    options = ArgumentParser()
    options.add_argument("--statsd.mapping-config", dest="mapping")
    options.add_argument("--statsd.listen-udp", dest="listen")
    chosen = options.parse_args()
    mappings += yaml.safe_load(Path(chosen.mapping).read_text())["mappings"]
    REGISTRY.register(Collector())
    start_http_server(9102)
    with socketserver.UDPServer(("0.0.0.0", int(chosen.listen.rpartition(":")[2])), Listener) as server:
        server.serve_forever()
