#!/usr/bin/env python3
"""Measures Soulchain beside what the same machine can do at most, and beside Tessera where it is there.

    cargo build --release --bins --examples && cargo bench --bench engine --no-run
    python3 tools/bench.py [--rounds 5] [--seconds 5] [--only p1,p2,p3] [--clients 16,256,1024] [--tessera POSIX] [--tessera-250 POSIX] [--key FILE]

Needs `wrk` for P2. POSIX is Tessera's cmd/conformance/posix (v1.0.4), the second one built with a batch age of 250 ms,
FILE its private key. Everything is measured once in every round, so that what is compared ran within minutes; medians
are printed, with the least and the greatest. One table in Markdown on stdout, every figure as JSON on stderr.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PORT = 18290
POST = """
local threads = 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end
function init(args) count = 0; start = os.time() end
function request()
  count = count + 1
  local head = string.format("%d-%02d-%012d-", start, id, count)
  return wrk.format("POST", "/add", nil, head .. string.rep("x", 256 - #head))
end
"""


class Server:
    """A process on loopback; stopped by its id."""

    def __init__(self, *command):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def __enter__(self):
        for _ in range(100):
            time.sleep(0.1)
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=1)
            except urllib.error.HTTPError:
                return self
            except OSError:
                continue
            return self
        self.process.kill()
        self.log.seek(0)
        sys.exit(f"the server did not start:\n{self.log.read().decode(errors='replace')}")

    def memory_mb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def wrk(clients, seconds, script):
    """Requests a second and latencies in ms."""
    command = ["wrk", "-t2", f"-c{clients}", f"-d{seconds}", "--latency", "-s", script, f"http://127.0.0.1:{PORT}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    unit = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    at = lambda p: (lambda m: float(m[1]) * unit[m[2]])(re.search(rf"{p}%\s+([\d.]+)(us|ms|s)", text))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return {"rate": rate, "p50": at(50), "p99": at(99), "failed": int(failed[1]) if failed else 0}


def target(*path):
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", *path)


def limits():
    return json.loads(subprocess.run([target("examples", "limits")], capture_output=True, check=True).stdout)


def p1(note):
    benches = [target("deps", name) for name in os.listdir(target("deps")) if re.fullmatch(r"engine-[0-9a-f]+", name)]
    bench = max(benches, key=os.path.getmtime)
    for name, base in [("tmpfs", "/dev/shm"), ("disk", tempfile.gettempdir())]:
        env = dict(os.environ, SOULCHAIN_BENCH_DIR=base)
        command = [bench, "--bench", "--noplot", "--save-baseline", "round", "append"]
        with tempfile.TemporaryDirectory() as home:
            env["CRITERION_HOME"] = home
            text = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
        found = re.search(r"thrpt:\s+\[\S+ \S+ (\S+) (K|M)elem/s", text)
        note(f"P1 {name}", "rate", float(found[1]) * {"K": 1e3, "M": 1e6}[found[2]])


def p2(note, args, directory, script):
    listen = f"127.0.0.1:{PORT}"
    servers = {"empty route": lambda clients: [target("examples", "limits"), listen]}
    servers["plain_log"] = lambda clients: [target("examples", "plain_log"), fresh(directory), listen, "log.example/b"]
    tessera = lambda binary: lambda clients: [
        binary, f"--storage_dir={fresh(directory)}", f"--listen={listen}", f"--private_key={args.key}"]
    if args.tessera:
        servers["Tessera"] = tessera(args.tessera)
    if args.tessera_250:
        servers["Tessera 250 ms"] = tessera(args.tessera_250)
    for clients in args.clients:
        for name, command in servers.items():
            if name == "Tessera 250 ms" and clients != 16:
                continue
            with Server(*command(clients)):
                wrk(clients, 1, script)
                for what, value in wrk(clients, args.seconds, script).items():
                    note(f"P2 {name}, {clients} clients", what, value)


def p3(note, args, directory):
    loads = [(clients, 1, False) for clients in args.clients] + [(256, 1, True), (16, 100, False)]
    for clients, batch, mix in loads:
        with Server(target("soulchain"), "serve", "--data", fresh(directory), "--listen", f"127.0.0.1:{PORT}") as server:
            command = [target("soulchain"), "bench", "--json", "--node", f"http://127.0.0.1:{PORT}",
                       "--clients", clients, "--agents", max(1000, clients), "--batch", batch,
                       "--links", 40_000 * args.seconds if batch > 1 else 25_000 * args.seconds,
                       "--duration", args.seconds] + ["--mix"] * mix
            result = subprocess.run(list(map(str, command)), capture_output=True, check=True).stdout
            result = json.loads(result)
            name = f"P3 {clients} clients, {batch} a request" + ", mixed types" * mix
            note(name, "rate", result["entries_per_second"])
            note(name, "p50", result["latency_ms"]["p50"])
            note(name, "p99", result["latency_ms"]["p99"])
            note(name, "failed", sum(result["errors"].values()))
            note(name, "memory_mb", server.memory_mb())


def fresh(directory):
    return os.path.join(tempfile.mkdtemp(dir=directory), "log")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--only", default="p1,p2,p3")
    parser.add_argument("--clients", type=lambda text: [int(part) for part in text.split(",")], default=[16, 256, 1024])
    parser.add_argument("--tessera")
    parser.add_argument("--tessera-250")
    parser.add_argument("--key")
    args = parser.parse_args()
    wanted = args.only.split(",")
    figures = {}

    def note(name, what, value):
        figures.setdefault(name, {}).setdefault(what, []).append(value)

    directory = tempfile.mkdtemp()
    script = os.path.join(directory, "post.lua")
    with open(script, "w") as file:
        file.write(POST)
    try:
        for number in range(args.rounds):
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
            for what, value in limits().items():
                note("limits", what, value)
            if "p1" in wanted:
                p1(note)
            if "p2" in wanted:
                p2(note, args, directory, script)
            if "p3" in wanted:
                p3(note, args, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        print(json.dumps(figures), file=sys.stderr)
    table(figures)


def table(figures):
    median = lambda values: statistics.median(values)
    print("| what | median a second (least to greatest) | p50 ms | p99 ms | failed |")
    print("|---|---|---|---|---|")
    for what, values in figures.get("limits", {}).items():
        print(f"| limit: {what} | {median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f}) | | | |")
    for name, found in figures.items():
        if name == "limits":
            continue
        rate = found["rate"]
        cells = [f"{median(rate):,.0f} ({min(rate):,.0f} to {max(rate):,.0f})"]
        cells += [f"{median(found[p]):.2f}" if p in found else "" for p in ("p50", "p99")]
        cells += [str(int(sum(found["failed"]))) if "failed" in found else ""]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
