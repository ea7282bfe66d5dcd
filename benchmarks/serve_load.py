"""Requests per second, delay and memory of the service: python benchmarks/serve_load.py MODEL IMAGES [--seconds 60]

Starts `bioautoml serve MODEL` on the loopback address and lets several clients at once upload one image per request,
each the next as soon as it has its answer, for some seconds each. The clients run on the same cores. Printed and
written to benchmarks/out/serve_load.json: requests per second and their ratio to a single client's, the median and the
99th percentile of the delay, requests that were turned away, and the service's memory and open files at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil


def start(model: Path, threads: int) -> tuple[subprocess.Popen[str], str]:
    """Start the service and return its process and address, once it is ready."""
    command = [str(Path(sys.executable).with_name("bioautoml")), "serve", str(model), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--threads", str(threads)], stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
    )
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    if found is None:
        raise SystemExit("the service did not start")
    while True:
        try:
            if httpx.get(f"{found[0]}/readyz").status_code == 200:
                return process, found[0]
        except httpx.TransportError:
            time.sleep(0.1)


def load(url: str, images: list[bytes], clients: int, seconds: float) -> tuple[list[float], int, float]:
    """Return the delays of answered requests in seconds, how many were turned away, and the seconds that it took."""
    delays: list[list[float]] = [[] for _ in range(clients)]
    away = [0] * clients
    end = time.monotonic() + seconds

    def ask(number: int) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            turn = number
            while time.monotonic() < end:
                files = {"images": ("a.jpg", images[turn % len(images)])}
                turn += clients
                started = time.monotonic()
                response = client.post("/upload", files=files)
                if response.status_code == 503:
                    away[number] += 1
                    continue
                response.raise_for_status()
                delays[number].append(time.monotonic() - started)

    started = time.monotonic()
    asking = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    return [delay for own in delays for delay in own], sum(away), time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--seconds", type=float, default=60, help="for each number of clients")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--threads", type=int, default=1, help="of onnxruntime")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    images = [path.read_bytes() for path in paths[:256]]
    if not images:
        raise SystemExit(f"{arguments.images}: holds no image")
    process, url = start(arguments.model, arguments.threads)
    service = psutil.Process(process.pid)
    rows: list[dict[str, Any]] = []
    try:
        load(url, images, 2, 2)  # warm
        print(f"{'clients':>7} {'requests/s':>10} {'ratio':>6} {'p50 ms':>7} {'p99 ms':>7} {'away':>5} {'MB':>5} files")
        for clients in arguments.clients:
            delays, away, seconds = load(url, images, clients, arguments.seconds)
            p50, p99 = np.percentile(delays, [50, 99]) * 1000
            rate = len(delays) / seconds
            row = {
                "clients": clients, "requests": len(delays), "per_second": rate, "p50_ms": p50, "p99_ms": p99,
                "ratio": rate / rows[0]["per_second"] if rows else 1.0, "turned_away": away,
                "memory_mb": service.memory_info().rss / 2**20, "open_files": service.num_fds(),
            }  # fmt: skip
            rows.append(row)
            print(
                f"{clients:7} {rate:10.1f} {row['ratio']:6.2f} {p50:7.1f} {p99:7.1f} {away:5} {row['memory_mb']:5.0f} "
                f"{row['open_files']:5}"
            )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    out = Path(__file__).parent / "out" / "serve_load.json"
    out.parent.mkdir(exist_ok=True)
    result = {"seconds": arguments.seconds, "threads": arguments.threads, "cores": os.cpu_count(), "rows": rows}
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
