"""Ray beside the rows of `maser bench`: prints one JSON object a line, {"row", "ns", "n"}.

Started by `maser bench --peers ray` with the Python of a virtual environment that has Ray, once for
all rows. Each figure is a median; Ray sleeps between calls and has no setting to spin. A row that does
not work prints {"row", "missing"} with the reason.

usage: rows.py ROW...
"""

import json
import statistics
import sys
import time

import graphs
import tensors

BUDGET_S = 3.0
MIB = 1 << 20


def median_ns(operation, budget_s=BUDGET_S, least=5, most=5000):
    """Median time of `operation` after a few warm-up calls, and how many were timed."""
    for _ in range(3):
        operation()
    samples = []
    began = time.perf_counter()
    while len(samples) < least or (
        time.perf_counter() - began < budget_s and len(samples) < most
    ):
        first = time.perf_counter_ns()
        operation()
        samples.append(time.perf_counter_ns() - first)
    return statistics.median(samples), len(samples)


def main(wanted):
    import numpy
    import ray

    @ray.remote(num_cpus=0)
    class Echo:
        def echo(self, value):
            return value

    is_large = any("MiB" in row or "large" in row for row in wanted)
    store_bytes = 1280 * MIB if is_large else 256 * MIB
    began = time.perf_counter_ns()
    ray.init(
        num_cpus=4,
        object_store_memory=store_bytes,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    echo = Echo.remote()
    ray.get(echo.echo.remote(1))
    node_ns = time.perf_counter_ns() - began

    def call():
        assert ray.get(echo.echo.remote(7)) == 7

    def put_of(count):
        payload = numpy.full(count, 7, dtype=numpy.uint8)

        def put():
            ray.put(payload)

        return put

    def get_of_small():
        small = ray.put(numpy.full(1024, 7, dtype=numpy.uint8))

        def once():
            assert ray.get(small)[0] == 7

        return once

    def compiled():
        from ray.dag import InputNode

        actor = Echo.remote()
        with InputNode() as value:
            graph = actor.echo.bind(value)
        graph = graph.experimental_compile()

        def once():
            assert ray.get(graph.execute(7)) == 7

        return once

    def handover():
        # Reads what another process put, without a copy: the nearest that Ray has.
        large = ray.put(numpy.zeros(MIB, dtype=numpy.uint8))

        @ray.remote(num_cpus=0)
        class Reader:
            def read(self, array):
                return int(array[-1])

        reader = Reader.remote()

        def once():
            assert ray.get(reader.read.remote(large)) == 0

        return once

    def start():
        ray.get(Echo.remote().echo.remote(1))

    rows = {
        "process/actor/call": lambda: median_ns(call),
        "process/handover": lambda: median_ns(handover()),
        "process/graph/echo/slot": lambda: median_ns(compiled()),
        "process/graph/echo/ring": lambda: median_ns(compiled()),
        "process/start": lambda: median_ns(start, budget_s=10.0, least=3, most=5),
        "process/start/node": lambda: (node_ns, 1),
        "store/put/1KiB": lambda: median_ns(put_of(1024)),
        "store/get": lambda: median_ns(get_of_small()),
        "store/put/64MiB": lambda: median_ns(put_of(64 * MIB), most=20),
        "store/put/256MiB": lambda: median_ns(put_of(256 * MIB), most=10),
    }
    rows["graph/echo/slot"] = rows["process/graph/echo/slot"]
    rows["graph/echo/ring"] = rows["process/graph/echo/ring"]
    if any(row.startswith(graphs.TAG) for row in wanted):
        rows.update(graphs.rows(ray))
    if any(row.startswith(tensors.TAG) for row in wanted):
        rows.update(tensors.rows(ray))
    for row in wanted:
        if row not in rows:
            continue
        try:
            ns, count = rows[row]()
            print(json.dumps({"row": row, "ns": ns, "n": count}), flush=True)
        except Exception as error:  # whatever Ray raises is the reason
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            print(json.dumps({"row": row, "missing": reason}), flush=True)
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
