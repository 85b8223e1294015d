//! Finds many texts at once, in a time that grows with the text alone: Aho and Corasick's automaton.
//!
//! The texts come from a request, so the worst ones count. `docs/decisions/0034-secrets-of-runs-are-sealed.md` says why it is
//! none of a crate's.

use std::collections::BTreeSet;
use std::ops::Range;

/// The node of the empty text.
const ROOT: usize = 0;

/// The texts as a tree, one byte a node. Nodes are numbered by their depth, and those of one depth in order, so the children
/// of a node follow each other: 13 bytes a node.
pub(super) struct Finder {
    /// By node: its children are those from this one to that of the next node.
    first: Vec<u32>,
    /// By node: the last byte of its text.
    byte: Vec<u8>,
    /// By node: that of the longest end of its text which begins one of the texts.
    fail: Vec<u32>,
    /// By node: how long the longest of the texts is that ends there; 0 if none does.
    longest: Vec<u32>,
    /// By depth: the first node.
    layers: Vec<usize>,
    /// By byte: the node after the root. Most of a text is read there.
    begin: [u32; 256],
}

impl Finder {
    /// Of texts that are not empty, with fewer than 2^32 bytes in all.
    pub(super) fn new(texts: &BTreeSet<String>) -> Self {
        let texts: Vec<_> = texts.iter().map(String::as_bytes).filter(|text| !text.is_empty()).collect();
        let mut tree =
            Self { first: vec![], byte: vec![0], fail: vec![0], longest: vec![0], layers: vec![0], begin: [0; 256] };
        // Of each node of a layer the texts that begin with its own.
        let mut layer: Vec<_> = std::iter::once(0..texts.len()).collect();
        while !layer.is_empty() {
            let depth = tree.layers.len();
            tree.layers.push(tree.byte.len());
            let mut below = Vec::new();
            for of_node in layer {
                tree.first.push(number(tree.byte.len()));
                let mut rest = of_node;
                // The text that is the node's own is the first of them.
                if texts.get(rest.start).is_some_and(|text| !rest.is_empty() && text.len() < depth) {
                    rest.start += 1;
                }
                while let Some(text) = texts.get(rest.start).filter(|_| !rest.is_empty()) {
                    let byte = text[depth - 1];
                    let same = texts[rest.clone()].partition_point(|text| text[depth - 1] == byte);
                    tree.byte.push(byte);
                    tree.longest.push(if text.len() == depth { number(depth) } else { 0 });
                    below.push(rest.start..rest.start + same);
                    rest.start += same;
                }
            }
            layer = below;
        }
        tree.first.push(number(tree.byte.len()));
        tree.link();
        tree
    }

    /// Finds out where to go on when a text does not.
    fn link(&mut self) {
        self.fail.resize(self.byte.len(), 0);
        for node in 0..self.byte.len() {
            for child in self.children(node) {
                let byte = self.byte[child];
                let fail = if node == ROOT {
                    self.begin[usize::from(byte)] = number(child);
                    ROOT
                } else {
                    self.next(self.fail[node] as usize, byte)
                };
                self.fail[child] = number(fail);
                if self.longest[child] == 0 {
                    self.longest[child] = self.longest[fail];
                }
            }
        }
    }

    /// Where all that is found stands, in order. What overlaps is one place.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        let mut node = ROOT;
        for (at, byte) in text.bytes().enumerate() {
            node = self.next(node, byte);
            let longest = self.longest[node] as usize;
            if longest > 0 {
                let mut place = at + 1 - longest..at + 1;
                while let Some(last) = places.pop_if(|last| last.end > place.start) {
                    place.start = place.start.min(last.start);
                }
                places.push(place);
            }
        }
        places
    }

    /// Where one of the texts begins, at least so many bytes of it, and is then cut off by a mark.
    pub(super) fn find_cut(&self, text: &str, mark: &str, least: usize) -> Vec<Range<usize>> {
        let (mut node, mut from) = (ROOT, 0);
        let marks = text.match_indices(mark).filter_map(|(at, _)| {
            node = text[from..at].bytes().fold(node, |node, byte| self.next(node, byte));
            from = at;
            let depth = self.depth(node);
            (depth >= least).then(|| at - depth..at)
        });
        marks.collect()
    }

    /// How many bytes at the front no later text can change: behind them begins what may go on as one of the texts.
    pub(super) fn settled(&self, text: &str) -> usize {
        let mut node = text.bytes().fold(ROOT, |node, byte| self.next(node, byte));
        while node != ROOT && self.children(node).is_empty() {
            node = self.fail[node] as usize;
        }
        let settled = text.len() - self.depth(node);
        let cut = self.find(text).into_iter().find(|place| place.start < settled && settled < place.end);
        cut.map_or(settled, |place| place.start)
    }

    /// The bytes of a node's text.
    fn depth(&self, node: usize) -> usize {
        self.layers.partition_point(|first| *first <= node) - 1
    }

    /// The node after one more byte.
    fn next(&self, mut node: usize, byte: u8) -> usize {
        while node != ROOT {
            let children = self.children(node);
            if let Ok(place) = self.byte[children.clone()].binary_search(&byte) {
                return children.start + place;
            }
            node = self.fail[node] as usize;
        }
        self.begin[usize::from(byte)] as usize
    }

    fn children(&self, node: usize) -> Range<usize> {
        self.first[node] as usize..self.first[node + 1] as usize
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what a request may have is bounded far below")]
fn number(number: usize) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finder(texts: &[&str]) -> Finder {
        Finder::new(&texts.iter().map(|text| (*text).to_owned()).collect())
    }

    fn ends(places: Vec<Range<usize>>) -> Vec<(usize, usize)> {
        places.into_iter().map(|place| (place.start, place.end)).collect()
    }

    #[test]
    fn what_overlaps_is_one_place_and_what_touches_is_two() {
        let finder = finder(&["abcd", "cdef", "bc", "xyz"]);
        assert_eq!(ends(finder.find("..abcdef..")), [(2, 8)]);
        assert_eq!(ends(finder.find("xyzxyz")), [(0, 3), (3, 6)]);
        assert_eq!(ends(finder.find("ab cd xy")), []);
        assert_eq!(ends(Finder::new(&BTreeSet::new()).find("abc")), []);
    }

    #[test]
    fn a_beginning_is_found_before_the_mark_only() {
        let finder = finder(&["abcdef", "cdxx"]);
        assert_eq!(ends(finder.find_cut("abcd, abcd…, ab…", "…", 3)), [(6, 10)]);
        assert_eq!(ends(finder.find_cut("…zzcd…", "…", 2)), [(5, 7)]);
    }

    /// Half a megabyte, and texts that make simpler means take hours for it: nobody waits so long for this test.
    #[test]
    fn no_texts_make_it_slow_or_large() {
        let mut texts: BTreeSet<String> = (8..200).map(|length| "a".repeat(length)).collect();
        texts.insert(format!("{}b", "a".repeat(40_000)));
        let finder = Finder::new(&texts);
        assert_eq!(finder.byte.len(), 40_002, "a node for each byte, and the root");
        let text = "a".repeat(512 << 10);
        assert_eq!(ends(finder.find(&text)), [(0, text.len())]);
    }

    proptest! {
        #[test]
        fn it_finds_what_a_search_for_one_after_the_other_finds(
            texts in prop::collection::btree_set("[ab]{1,5}|[abä]{2,6}", 0..12),
            text in "[abcä]{0,60}",
        ) {
            let mut covered = vec![false; text.len()];
            for needle in &texts {
                for at in (0..text.len()).filter(|at| text.as_bytes()[*at..].starts_with(needle.as_bytes())) {
                    covered[at..at + needle.len()].fill(true);
                }
            }
            let mut found = vec![false; text.len()];
            for place in Finder::new(&texts).find(&text) {
                prop_assert!(text.is_char_boundary(place.start) && text.is_char_boundary(place.end));
                prop_assert!(found[place.clone()].iter().all(|found| !found), "places do not overlap");
                found[place].fill(true);
            }
            prop_assert_eq!(found, covered);
        }
    }
}
