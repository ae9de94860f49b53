//! Renders a plan as text and as Graphviz.

use std::fmt::Write;

use super::{Op, Plan, PlanInput};
use crate::media::Memory;

fn label(op: &Op) -> String {
    match op {
        Op::Decode => "decode".into(),
        Op::Denoise => "denoise (auralinkdenoise)".into(),
        Op::Encode { codec, encoder, rung: None } => format!("encode {codec} ({encoder})"),
        Op::Encode { codec, encoder, rung: Some(rung) } => {
            format!("encode {codec} {rung} ({encoder})")
        }
        Op::Transfer { to: Memory::Cuda } => "upload (cudaupload)".into(),
        Op::Transfer { to: Memory::System } => "download (cudadownload)".into(),
        Op::Transcribe => "transcribe".into(),
        Op::Translate { to } => format!("translate to {}", to.name()),
        Op::Speak { language } => format!("speak {}", language.name()),
        Op::Embed => "captions into video (auralinkcaption)".into(),
    }
}

/// Renders a plan as text, one line per node and consumer.
pub fn text(ask: &PlanInput, plan: &Plan) -> String {
    let mut out = String::new();
    for (name, format) in [("video", &ask.video), ("audio", &ask.audio)] {
        if let Some(format) = format {
            let _ = writeln!(out, "source               -> {name:<18} {format}");
        }
    }
    for node in &plan.nodes {
        let _ = writeln!(
            out,
            "{:<20} -> {:<18} {}  [because {}]",
            node.inputs.join(" + "),
            node.output,
            label(&node.op),
            node.why
        );
    }
    for (id, route) in &plan.routes {
        let feeds: Vec<&str> = route.feeds().map(String::as_str).collect();
        let feeds = if feeds.is_empty() { "nothing".to_owned() } else { feeds.join(" + ") };
        let _ = writeln!(out, "{feeds:<20} -> {id}");
        for problem in &route.problems {
            let _ = writeln!(out, "{:<20}    ! {problem}", "");
        }
    }
    out
}

/// Renders a plan as a Graphviz digraph: boxes are nodes, edges are feeds.
pub fn dot(ask: &PlanInput, plan: &Plan) -> String {
    let mut out = String::from("digraph auralink {\n  rankdir=LR;\n  node [shape=box];\n");
    let mut edge = |from: &str, to: &str, feed: &str| {
        let _ = writeln!(out, "  {from:?} -> {to:?} [label={feed:?}];");
    };
    // Name of the node that fills a feed; the source fills the stream's own feeds.
    let filler = |feed: &str| {
        let node = plan.nodes.iter().find(|n| n.output == feed);
        node.map_or("source", |n| n.name.as_str()).to_owned()
    };
    for node in &plan.nodes {
        for input in &node.inputs {
            edge(&filler(input), &node.name, input);
        }
    }
    for (id, route) in &plan.routes {
        for feed in route.feeds() {
            edge(&filler(feed), id, feed);
        }
    }
    for node in &plan.nodes {
        let _ = writeln!(out, "  {:?} [tooltip={:?}];", node.name, label(&node.op));
    }
    for (name, format) in [("video", &ask.video), ("audio", &ask.audio)] {
        if let Some(format) = format {
            let _ = writeln!(out, "  // {name}: {format}");
        }
    }
    out.push_str("}\n");
    out
}
