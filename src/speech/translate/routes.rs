//! Routes from one language to another over available pairs.

use std::collections::{BTreeMap, VecDeque};

use crate::media::Language;

/// Longest route, in translations. Each reduces the quality; more than three are useless.
pub(super) const HOPS_MAX: usize = 3;

/// The shortest routes from one language to all reachable ones, each as indices into `edges`. Of
/// equally short routes, the one whose edges come first.
///
/// A text in a regional form (`pt-BR`) can also use edges of the plain language (`pt`).
pub(super) fn ways(
    edges: &[(Language, Language)],
    from: &Language,
) -> BTreeMap<Language, Vec<usize>> {
    let mut found: BTreeMap<Language, Vec<usize>> = BTreeMap::new();
    let mut open = VecDeque::from([(from.clone(), Vec::new())]);
    while let Some((at, way)) = open.pop_front() {
        if way.len() == HOPS_MAX {
            continue;
        }
        for (n, (_, to)) in edges.iter().enumerate().filter(|(_, (f, _))| takes(f, &at)) {
            if to.same_language(from) || found.contains_key(to) {
                continue;
            }
            let mut longer: Vec<usize> = way.clone();
            longer.push(n);
            found.insert(to.clone(), longer.clone());
            open.push_back((to.clone(), longer));
        }
    }
    found
}

/// Whether an edge from `edge` accepts a text in `text`.
fn takes(edge: &Language, text: &Language) -> bool {
    edge == text || (edge.as_str() == edge.primary() && edge.same_language(text))
}

/// The best target for `wanted` in `all`: itself, else the language without region, else any form
/// of it.
pub(super) fn nearest<'a>(
    all: impl Iterator<Item = &'a Language> + Clone,
    wanted: &Language,
) -> Option<&'a Language> {
    let mut same = all.clone().filter(|l| l.same_language(wanted));
    let plain = |l: &&Language| l.same_language(wanted) && l.as_str() == l.primary();
    all.clone().find(|l| *l == wanted).or_else(|| all.clone().find(plain)).or_else(|| same.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lang(tag: &str) -> Language {
        tag.parse().expect("a language")
    }

    fn check(pairs: &str, from: &str, expect: &str) {
        let edge = |pair: &str| {
            let (a, b) = pair.split_once('>').expect("a pair");
            (lang(a), lang(b))
        };
        let edges: Vec<_> = pairs.split(' ').map(edge).collect();
        let shown = |(to, way): (Language, Vec<usize>)| {
            let via: Vec<String> = way.iter().map(|n| edges[*n].1.to_string()).collect();
            assert_eq!(via.last(), Some(&to.to_string()));
            via.join(">")
        };
        let found: Vec<String> = ways(&edges, &lang(from)).into_iter().map(shown).collect();
        assert_eq!(found.join(" "), expect);
    }

    #[test]
    fn the_shortest_way_is_found_and_circles_are_not_walked() {
        let pairs = "en>es es>en es>fr fr>es es>pt-BR fr>oc oc>br";
        check(pairs, "en", "es es>fr es>fr>oc es>pt-BR");
        check(pairs, "fr", "oc>br es>en es oc es>pt-BR");
        check(pairs, "de", "");
        check("pt>es es>it", "pt-BR", "es es>it");
        check("en>es en>ca es>fr ca>fr", "en", "ca es es>fr");
    }

    #[test]
    fn a_region_falls_back_to_its_language() {
        let all = [lang("pt-PT"), lang("pt"), lang("pt-BR"), lang("en-US")];
        let near = |tag| nearest(all.iter(), &lang(tag)).map(Language::as_str);
        assert_eq!(near("pt-BR"), Some("pt-BR"));
        assert_eq!(near("pt-AO"), Some("pt"));
        assert_eq!(near("en"), Some("en-US"));
        assert_eq!(near("fr"), None);
    }
}
