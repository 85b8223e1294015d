//! Attacks in rows: where each works, and what may be said instead of stopping it.

use super::server::{Attacked, Layer, Who};

/// An attack, and whom it gets through.
pub(super) struct Row {
    attack: String,
    /// Only the server that stays root is open to it without isolation; for others layer 0 stops it.
    needs_root: bool,
    /// What must be seen; a folder that is masked still holds what is the run's own.
    shown: String,
    /// Layers that are not said to stop it, each with words of what is said instead.
    admitted: Vec<(Layer, &'static str)>,
}

/// An attack that works without isolation, and with no layer.
pub(super) fn stopped(attack: impl Into<String>) -> Row {
    Row { attack: attack.into(), needs_root: false, shown: String::new(), admitted: Vec::new() }
}

impl Row {
    /// Layer 0 stops it wherever the server is not root.
    pub(super) fn by_layer_0(self) -> Self {
        Self { needs_root: true, ..self }
    }

    /// It counts only if it shows this.
    pub(super) fn that_shows(self, text: &str) -> Self {
        Self { shown: text.to_owned(), ..self }
    }

    /// This layer may let it through, if `GET /v1/isolation` says so in these words.
    pub(super) fn unless_said(mut self, layer: Layer, words: &'static str) -> Self {
        self.admitted.push((layer, words));
        self
    }
}

/// Makes all attacks in one run, and compares.
pub(super) async fn try_all(attacked: &Attacked, rows: &[Row]) {
    let attacks: Vec<&str> = rows.iter().map(|row| row.attack.as_str()).collect();
    let (attempts, _) = attacked.attack(&attacks).await;
    let said = attacked.not_prevented().await;
    let mut wrong = Vec::new();
    for (row, attempt) in rows.iter().zip(attempts) {
        let worked = attempt.worked && attempt.text.contains(&row.shown);
        let works_without = attacked.who == Who::Root || !row.needs_root;
        let admitted = row.admitted.iter().find(|(layer, _)| *layer == attacked.layer);
        let as_it_should = match (attacked.layer, admitted) {
            (Layer::None, _) => worked == works_without,
            (_, Some((_, words))) => !worked || said.iter().any(|sentence| sentence.contains(words)),
            (_, None) => !worked,
        };
        if !as_it_should {
            let outcome = if attempt.worked { "worked" } else { "did not work" };
            wrong.push(format!("{} {outcome}: {}", row.attack, attempt.text));
        }
    }
    assert!(wrong.is_empty(), "{attacked}: {wrong:#?}");
}
