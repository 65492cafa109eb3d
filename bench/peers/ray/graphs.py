"""Ray's side of the rows `[unstable] ...`: what `ray_experimental_perf.py` of Ray 2.60 times, once more.

The same channels, actors, graphs and payloads, with n at least 2 where that script takes half the cores,
and with 8 actors on any machine where it refuses to run. A figure is a mean over a few seconds, as that
script's is; it neither sleeps ten seconds before each row nor repeats it. The actors of a row are killed
after it, which that script leaves to the end: otherwise the last rows run beside sixty processes.
"""

import asyncio
import gc
import os
import time

BUDGET_S = 3.0
WARM_UP_S = 0.5
MIB = 1 << 20
ARGS = 8
TAG = "[unstable] "


def mean_ns(operation):
    """Mean time of `operation`, and how often it was run."""

    def run(seconds):
        count = 0
        began = time.perf_counter()
        while count < 3 or time.perf_counter() - began < seconds:
            operation()
            count += 1
        return (time.perf_counter() - began) * 1e9 / count, count

    run(WARM_UP_S)
    return run(BUDGET_S)


def mean_ns_of_awaits(operation):
    """The same for what is awaited, one after the other."""

    async def run(seconds):
        count = 0
        began = time.perf_counter()
        while count < 3 or time.perf_counter() - began < seconds:
            await operation()
            count += 1
        return (time.perf_counter() - began) * 1e9 / count, count

    async def both():
        await run(WARM_UP_S)
        return await run(BUDGET_S)

    return asyncio.get_event_loop_policy().get_event_loop().run_until_complete(both())


def ending_with(ray, made, measure):
    """`measure`, and the end of the actors that it has `made`."""

    def once():
        try:
            return measure()
        finally:
            while made:
                ray.kill(made.pop())
            gc.collect()

    return once


def rows(ray):
    """Name of each row and what measures it."""
    import ray.experimental.channel as channels
    from ray._private.test_utils import get_actor_node_id
    from ray.dag import InputNode, MultiOutputNode
    from ray.dag.compiled_dag_node import CompiledDAG

    n = max(2, os.cpu_count() // 2)

    @ray.remote(num_cpus=0)
    class Reader:
        def ready(self):
            return None

        def read_all(self, ends):
            while True:
                for end in ends:
                    end.read()

    @ray.remote(num_cpus=0)
    class DagActor:
        def echo(self, x):
            return x

        def echo_multiple(self, *x):
            return x

    def channel_to(readers):
        places = [(reader, get_actor_node_id(reader)) for reader in readers]
        return channels.Channel(None, places, 1000)

    made = []

    def start(actor_class, count):
        """Actors that end with their row."""
        made.extend(actor_class.remote() for _ in range(count))
        return made[-count:]

    def put_get_here():
        end = channel_to(start(CompiledDAG.DAGDriverProxyActor, 1))

        def once():
            end.write(b"0")
            end.read()

        return mean_ns(once)

    def put_there(groups):
        """Writes one channel for each group of readers, which are numbers of processes."""
        count = 1 + max(reader for group in groups for reader in group)
        readers = start(Reader, count)
        ray.get([reader.ready.remote() for reader in readers])
        ends = [channel_to([readers[at] for at in group]) for group in groups]
        for at, reader in enumerate(readers):
            reader.read_all.remote([end for end, group in zip(ends, groups) if at in group])

        def once():
            for end in ends:
                end.write(b"0")

        return mean_ns(once)

    def chain(count):
        with InputNode() as value:
            graph = value
            for actor in start(DagActor, count):
                graph = actor.echo.bind(graph)
        return graph

    def scatter(count):
        with InputNode() as value:
            actors = start(DagActor, count)
            return MultiOutputNode([actor.echo.bind(value) for actor in actors])

    def one_each():
        with InputNode() as value:
            actors = start(DagActor, ARGS)
            return MultiOutputNode([actor.echo.bind(value[at]) for at, actor in enumerate(actors)])

    def all_to_one():
        with InputNode() as value:
            return start(DagActor, 1)[0].echo_multiple.bind(*[value[at] for at in range(ARGS)])

    def execute(graph, args=1, payload_bytes=1, compiled=False):
        """A graph is torn down after its row: an idle one of Ray keeps its cores busy."""
        graph = graph.experimental_compile() if compiled else graph

        def once():
            ray.get(graph.execute(*[b"x" * payload_bytes for _ in range(args)]))

        try:
            return mean_ns(once)
        finally:
            if compiled:
                graph.teardown()

    def await_it(graph):
        graph = graph.experimental_compile(enable_asyncio=True)

        async def once():
            future = await graph.execute_async(b"x")
            if isinstance(future, list):
                await asyncio.gather(*future)
            else:
                await future

        try:
            return mean_ns_of_awaits(once)
        finally:
            graph.teardown()

    each = list(range(n))
    found = {
        "local put:local get, single channel calls": put_get_here,
        "local put:1 remote get, single channel calls": lambda: put_there([[0]]),
        "local put:n remote get, single channel calls": lambda: put_there([each]),
        "local put:1 remote get, n channels calls": lambda: put_there([[0]] * n),
        "local put:n remote get, n channels calls": lambda: put_there([[at] for at in each]),
        "single-actor DAG calls": lambda: execute(chain(1)),
        "compiled single-actor DAG calls": lambda: execute(chain(1), compiled=True),
        "compiled single-actor asyncio DAG calls": lambda: await_it(chain(1)),
        f"scatter-gather DAG calls, n={n} actors": lambda: execute(scatter(n)),
        f"compiled scatter-gather DAG calls, n={n} actors": lambda: execute(
            scatter(n), compiled=True
        ),
        f"compiled scatter-gather asyncio DAG calls, n={n} actors": lambda: await_it(scatter(n)),
        f"chain DAG calls, n={n} actors": lambda: execute(chain(n)),
        f"compiled chain DAG calls, n={n} actors": lambda: execute(chain(n), compiled=True),
        f"compiled chain asyncio DAG calls, n={n} actors": lambda: await_it(chain(n)),
        "single-actor with all args with small payloads DAG calls, n=1 actors": lambda: execute(
            all_to_one(), args=ARGS
        ),
        "compiled single-actor with all args with small payloads DAG calls, n=1 actors": (
            lambda: execute(all_to_one(), args=ARGS, compiled=True)
        ),
    }
    for name, payload_bytes in [("small", 1), ("medium", MIB), ("large", 10 * MIB)]:
        row = f"multiple args with {name} payloads DAG calls, n={ARGS} actors"
        found[row] = lambda b=payload_bytes: execute(one_each(), ARGS, b)
        found[f"compiled {row}"] = lambda b=payload_bytes: execute(one_each(), ARGS, b, True)
    return {TAG + name: ending_with(ray, made, measure) for name, measure in found.items()}
