"""Ray's side of the rows `exec_...`: what `compiled_graph_gpu_microbenchmark.py` of Ray 2.60 times without a GPU.

100,000 bytes of f16, with arrays of numpy in place of tensors. A tensor that Ray gets is a copy, so the row
`exec_ray_put_cpu` makes one.
"""

import numpy

from graphs import ending_with, mean_ns

TAG = "exec_"
ELEMENTS = 50_000


def ones():
    return numpy.ones(ELEMENTS, dtype=numpy.float16)


def rows(ray):
    """Name of each row and what measures it."""
    from ray.dag import InputNode

    @ray.remote(num_cpus=0)
    class Sender:
        def send(self, _go):
            return ones()

    @ray.remote(num_cpus=0)
    class Receiver:
        def recv(self, tensor):
            assert tensor.shape == (ELEMENTS,) and tensor[0] == 1 and tensor[-1] == 1
            return b"x"

    made = []

    def both():
        made.extend([Sender.remote(), Receiver.remote()])
        return made

    def copy():
        tensor = ones()
        return mean_ns(lambda: tensor.copy())

    def put_copying():
        tensor = ones()
        return mean_ns(lambda: ray.get(ray.put(tensor)).copy())

    def put():
        tensor = ones()
        return mean_ns(lambda: ray.get(ray.put(tensor)))

    def by_calls():
        sender, receiver = both()
        return mean_ns(lambda: ray.get(receiver.recv.remote(sender.send.remote(b"x"))))

    def by_graph():
        sender, receiver = both()
        with InputNode() as go:
            graph = receiver.recv.bind(sender.send.bind(go))
        graph = graph.experimental_compile()
        try:
            return mean_ns(lambda: ray.get(graph.execute(b"x")))
        finally:
            graph.teardown()

    found = {
        "exec_torch_cpu_cpu": copy,
        "exec_ray_put_cpu": put_copying,
        "exec_ray_put_np_zero_copy": put,
        "exec_ray_core_cpu": by_calls,
        "exec_ray_dag_cpu": by_graph,
    }
    return {name: ending_with(ray, made, measure) for name, measure in found.items()}
