//! Links between the documents of the repository.

use std::collections::BTreeMap;
use std::path::Path;

use crate::documents;
use crate::page::{read, root};

/// A link of a document: its line, and where it leads.
struct Link {
    line: usize,
    target: String,
}

/// The links of a page, without what stands between fences or in code.
fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        for rest in line.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            links.push(Link { line: number, target: target.trim().to_owned() });
        }
    }
    links
}

/// The lines outside of fences, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

/// A line with what stands between backticks left out, but for the backticks of a link's words.
fn without_code(line: &str) -> String {
    line.split('`').enumerate().filter(|(at, _)| at % 2 == 0).map(|(_, piece)| piece).collect::<Vec<_>>().join("`")
}

/// What a heading is called in links, as the usual hosts of repositories do it.
fn anchor(heading: &str) -> String {
    // Of a link in a heading its words count.
    let words = heading.split("](").map(|piece| piece.rsplit_once(')').map_or(piece, |(_, rest)| rest));
    let words: String = words.collect();
    let kept = words.trim().chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect::<String>().to_lowercase()
}

/// All anchors of a page; of headings with the same words the later ones have a number.
fn anchors(text: &str) -> Vec<String> {
    let (mut seen, mut anchors) = (BTreeMap::<String, usize>::new(), Vec::new());
    for (_, line) in prose(text) {
        let words = line.trim_start_matches('#');
        if words.len() == line.len() || !words.starts_with(' ') {
            continue;
        }
        let name = anchor(words);
        let count = seen.entry(name.clone()).or_default();
        anchors.push(if *count == 0 { name } else { format!("{name}-{count}") });
        *count += 1;
    }
    anchors
}

/// Whether headings of a file can be linked to.
fn is_page(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "md")
}

/// A path with `.` and `..` taken out.
fn joined(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for page in documents::all() {
        for Link { line, target } in links(&read(&page)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').map_or((&*target, None), |(path, anchor)| (path, Some(anchor)));
            let other = if path.is_empty() { page.clone() } else { joined(&page, path) };
            let there = root().join(&other).exists();
            let found = match anchor {
                Some(anchor) if there && is_page(&other) => anchors(&read(&other)).iter().any(|it| it == anchor),
                _ => there,
            };
            if !found {
                broken.push(format!("{page}:{line}: {target}"));
            }
        }
    }
    assert_eq!(broken, [""; 0], "links that lead nowhere");
}

#[test]
fn every_page_can_be_reached_from_the_index() {
    let pages: Vec<_> = documents::all().into_iter().filter(|page| page.starts_with("docs/")).collect();
    let mut reached = vec!["docs/README.md".to_owned()];
    let mut at = 0;
    while let Some(page) = reached.get(at).cloned() {
        at += 1;
        for Link { target, .. } in links(&read(&page)) {
            let path = joined(&page, target.split('#').next().unwrap_or_default());
            // A link to a folder, which hosts show as a list, leads to all that is in it.
            let begin = format!("{path}/");
            let led_to = pages.iter().filter(|page| **page == path || page.starts_with(&begin) && path != "docs");
            let found: Vec<_> = led_to.filter(|page| !reached.contains(page)).cloned().collect();
            reached.extend(found);
        }
    }
    let lost: Vec<_> = pages.into_iter().filter(|page| !reached.contains(page)).collect();
    assert_eq!(lost, [""; 0], "pages to which no link leads from docs/README.md");
}

#[test]
fn headings_have_the_names_that_links_use() {
    let text =
        "# `/v1/runs`\n## What is whose?\n```sh\n# no heading\n```\n## [Keys](keys.md), and more\n## What is whose?\n";
    assert_eq!(anchors(text), ["v1runs", "what-is-whose", "keys-and-more", "what-is-whose-1"]);
    let found = links("See [a](b.md#c), `[no](link)` and [`code`](../d.md).");
    let found: Vec<_> = found.iter().map(|link| &*link.target).collect();
    assert_eq!(found, ["b.md#c", "../d.md"]);
    assert_eq!(joined("docs/errors/x.md", "../runs.md"), "docs/runs.md");
}
