//! Strongly connected components: what reaches itself through others.

use std::collections::{BTreeMap, BTreeSet};

/// Arrows from each node.
pub type Graph<T> = BTreeMap<T, BTreeSet<T>>;

/// A graph of pairs.
pub fn graph<T: Ord + Clone>(pairs: impl IntoIterator<Item = (T, T)>) -> Graph<T> {
    let mut graph = Graph::new();
    for (from, to) in pairs {
        graph.entry(from).or_insert_with(BTreeSet::new).insert(to);
    }
    graph
}

/// The components with more than one member, each in order.
pub fn circles<T: Ord + Clone>(graph: &Graph<T>) -> Vec<BTreeSet<T>> {
    let reached: BTreeMap<&T, BTreeSet<&T>> = graph
        .keys()
        .map(|node| (node, reach(graph, node)))
        .collect();
    let mut found = BTreeSet::new();
    for (node, those) in &reached {
        let back = |other: &&T| reached.get(*other).is_some_and(|them| them.contains(*node));
        let circle: BTreeSet<T> = those.iter().copied().filter(back).cloned().collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

fn reach<'a, T: Ord>(graph: &'a Graph<T>, from: &T) -> BTreeSet<&'a T> {
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<&T> = graph.get(from).into_iter().flatten().collect();
    while let Some(node) = waiting.pop() {
        if seen.insert(node) {
            waiting.extend(graph.get(node).into_iter().flatten());
        }
    }
    seen
}
