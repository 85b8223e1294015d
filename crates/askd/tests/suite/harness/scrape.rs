//! What `/metrics` says, read as little as a test needs. A foreign parser reads it in `fake/metrics_access.rs`.

use std::collections::BTreeMap;

use super::server::TestServer;

/// All samples of one moment.
#[derive(Debug, Clone)]
pub(crate) struct Scraped {
    /// Name, labels and value of each.
    pub(crate) samples: Vec<(String, BTreeMap<String, String>, f64)>,
    /// As it came.
    pub(crate) text: String,
}

impl TestServer {
    /// Scrapes with the right key.
    pub(crate) async fn scrape(&self) -> Scraped {
        let response = self.getting("/metrics").send().await.unwrap();
        assert_eq!(response.status(), 200);
        Scraped::of(response.text().await.unwrap())
    }
}

impl Scraped {
    pub(crate) fn of(text: String) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(sample).collect();
        Self { samples, text }
    }

    /// The sum of all samples of this name with these labels; nothing is 0.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |its: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| its.get(*label).is_some_and(|it| it == value))
        };
        self.samples.iter().filter(|(its, labels, _)| its == name && fits(labels)).map(|(_, _, value)| value).sum()
    }

    /// The same, as a whole number.
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let sum = self.sum(name, labels);
        assert!(sum >= 0.0 && sum.fract() == 0.0, "{name} {labels:?}: {sum}");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "looked at above")]
        let count = sum as u64;
        count
    }

    /// The values of a label, wherever it stands.
    pub(crate) fn values(&self, label: &str) -> std::collections::BTreeSet<&str> {
        self.samples.iter().filter_map(|(_, labels, _)| labels.get(label)).map(String::as_str).collect()
    }
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
    let Some((name, rest)) = series.split_once('{') else { return (series.to_owned(), BTreeMap::new(), value) };
    // No label of askd has a quote or a comma in its value.
    let labels = rest.strip_suffix('}').unwrap().split(',').map(|label| {
        let (label, value) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
        (label.to_owned(), value.trim_matches('"').to_owned())
    });
    (name.to_owned(), labels.collect(), value)
}
