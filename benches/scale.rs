//! Plans past one machine: viewers of one stream over an origin, edges and a cache, second by second.
//!
//! `cargo bench --bench scale`. Nothing is measured here: the costs are those of docs/measurements.md,
//! and the run shows what saturates first, with how many nodes, and what the loss of one does. For other
//! machines and streams: `-- cores=8 gbit=25 mbps=4`.

#![allow(clippy::print_stdout, reason = "tables are the result")]

/// What a viewer by WHEP costs of a core, for each Mbit/s (0.26 % for 2 Mbit/s, "Many viewers of one
/// stream").
const WHEP_CORES_PER_MBPS: f64 = 0.0013;

/// What a viewer by WHEP keeps in memory, in MiB (the same table, 100 viewers).
const WHEP_MIB: f64 = 0.178;

/// Memory of an appliance without viewers, in MiB ("The whole appliance").
const IDLE_MIB: f64 = 117.0;

/// What an edge costs its origin of a core: as a viewer by SRT (the same table).
const EDGE_CORES: f64 = 0.023;

/// Share of cores and network that is planned with: joins and rejoins need the rest.
const PLANNED_RATIO: f64 = 0.7;

/// Media that a joining viewer gets at once, in seconds: half a group of pictures of 2 s.
const JOIN_S: f64 = 1.0;

/// How long the viewers of a lost node take to ask another one, in seconds.
const REJOIN_S: usize = 10;

/// All viewers arrive within this time, a node is lost, and the run ends, in seconds.
const ARRIVED_S: usize = 300;
const LOST_S: usize = 400;
const END_S: usize = 460;

/// Caches of a content network that ask the origin themselves; each asks once for a part.
const CACHES: f64 = 40.0;

#[derive(Clone, Copy)]
struct Machine {
    cores: f64,
    gbit: f64,
    mbps: f64,
}

#[derive(Clone, Copy, Default)]
struct Node {
    viewers: f64,
    joins: f64,
    is_lost: bool,
}

/// Shares of a node that are in use.
#[derive(Clone, Copy, Default)]
struct Load {
    processor: f64,
    network: f64,
}

impl Load {
    fn worst(self) -> f64 {
        self.processor.max(self.network)
    }

    fn limit(self) -> &'static str {
        if self.processor > self.network { "cores" } else { "network" }
    }
}

impl Machine {
    /// The machine of the arguments, or a small server.
    fn asked() -> Self {
        let mut machine = Self { cores: 8.0, gbit: 10.0, mbps: 2.0 };
        for argument in std::env::args().skip(1).filter(|argument| !argument.starts_with('-')) {
            let pair = argument
                .split_once('=')
                .and_then(|(name, value)| Some((name, value.parse().ok()?)));
            match pair {
                Some(("cores", value)) => machine.cores = value,
                Some(("gbit", value)) => machine.gbit = value,
                Some(("mbps", value)) => machine.mbps = value,
                _ => panic!("`{argument}`: give cores=8, gbit=10 or mbps=2"),
            }
        }
        machine
    }

    fn load(self, node: Node) -> Load {
        let served_mbps = (node.viewers + node.joins * JOIN_S) * self.mbps;
        Load {
            processor: served_mbps * WHEP_CORES_PER_MBPS / self.cores,
            network: served_mbps / (self.gbit * 1000.0),
        }
    }

    /// Nodes that viewers need, as the plan loads them.
    fn nodes_for(self, viewers: f64) -> usize {
        let one = self.load(Node { viewers: 1.0, ..Node::default() }).worst();
        (viewers * one / PLANNED_RATIO).ceil() as usize
    }
}

/// What a run shows.
#[derive(Default)]
struct Outcome {
    /// The highest load before and after the loss.
    before: Load,
    after: Load,
    /// Seconds of viewers on a node that had more to do than it can.
    late_s: f64,
    /// Viewers of the lost node.
    moved: f64,
}

/// Viewers arrive evenly, each at the node with the fewest; one node is lost.
fn run(machine: Machine, viewers: f64, count: usize) -> Outcome {
    let mut nodes = vec![Node::default(); count];
    let mut outcome = Outcome::default();
    for second in 0..END_S {
        nodes.iter_mut().for_each(|node| node.joins = 0.0);
        if second < ARRIVED_S {
            join(&mut nodes, viewers / ARRIVED_S as f64);
        }
        if second == LOST_S {
            outcome.moved = std::mem::take(&mut nodes[0].viewers);
            nodes[0].is_lost = true;
        }
        if (LOST_S..LOST_S + REJOIN_S).contains(&second) {
            join(&mut nodes, outcome.moved / REJOIN_S as f64);
        }
        for load in
            nodes.iter().filter(|node| !node.is_lost).map(|node| (node, machine.load(*node)))
        {
            let highest = if second < LOST_S { &mut outcome.before } else { &mut outcome.after };
            if load.1.worst() > highest.worst() {
                *highest = load.1;
            }
            if load.1.worst() > 1.0 {
                outcome.late_s += load.0.viewers;
            }
        }
    }
    outcome
}

/// Spreads viewers so that the nodes have equally many.
fn join(nodes: &mut [Node], joining: f64) {
    let alive = nodes.iter().filter(|node| !node.is_lost).count() as f64;
    let present: f64 = nodes.iter().filter(|node| !node.is_lost).map(|node| node.viewers).sum();
    let each = (present + joining) / alive;
    for node in nodes.iter_mut().filter(|node| !node.is_lost) {
        node.joins = (each - node.viewers).max(0.0);
        node.viewers = each;
    }
}

fn main() {
    let machine = Machine::asked();
    let Machine { cores, gbit, mbps } = machine;
    println!("\nOne stream of {mbps} Mbit/s; nodes of {cores} cores and {gbit} Gbit/s\n");
    println!(
        "| viewers by WHEP | edges | viewers each | MiB each | saturates first | load | load when one is lost | late viewers, s |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for viewers in [1_000.0, 10_000.0, 100_000.0] {
        let needed = machine.nodes_for(viewers).max(2);
        for count in [needed, needed + needed.div_ceil(10)] {
            let outcome = run(machine, viewers, count);
            let each = viewers / count as f64;
            println!(
                "| {viewers} | {count} | {each:.0} | {:.0} | {} | {:.0} % | {:.0} % | {:.0} |",
                IDLE_MIB + each * WHEP_MIB,
                outcome.before.limit(),
                100.0 * outcome.before.worst(),
                100.0 * outcome.after.worst(),
                outcome.late_s,
            );
        }
    }
    println!("\n| of the origin | edges, or caches | of a core | Mbit/s |\n|---|---|---|---|");
    for viewers in [10_000.0, 100_000.0] {
        let edges = machine.nodes_for(viewers).max(2) as f64;
        println!(
            "| WHEP to {viewers} by edges | {edges} | {:.0} % | {:.0} |",
            100.0 * edges * EDGE_CORES,
            edges * mbps
        );
    }
    println!("| HLS to any number by a content network | {CACHES} | – | {:.0} |", CACHES * mbps);
}
