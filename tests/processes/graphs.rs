//! Compiled graphs whose steps run in processes of their own.

use maser::{Config, Graph, Isolation, Mode, Node};

struct Adder {
    by: u64,
}

#[maser::actor]
impl Adder {
    fn new(by: u64) -> Self {
        Adder { by }
    }

    fn add(&mut self, to: u64) -> u64 {
        to + self.by
    }

    fn pid(&self, _: u64) -> u32 {
        std::process::id()
    }
}

#[test]
fn a_graph_runs_in_another_process() {
    let config = Config::new().num_cpus(1).mode(Mode::Silent);
    maser::run(config, |_| {
        let adder: maser::Actor<Adder> = Adder::options().isolation(Isolation::Process).remote(7);
        let graph = Graph::new(|to: Node<u64>| (adder.add().bind(to), adder.pid().bind(to)));
        let graph = graph.compile().unwrap();
        for to in 0..1000 {
            let (sum, pid) = graph.execute(to).unwrap();
            assert_eq!(sum.get().unwrap(), to + 7);
            assert_ne!(pid.get().unwrap(), std::process::id());
        }
        graph.teardown().unwrap();
    })
    .unwrap();
}
