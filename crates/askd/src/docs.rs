//! Pages that are generated from the code, and checked against it by `tests/docs.rs`.

/// `docs/reference/settings.md`.
pub fn settings_reference() -> String {
    crate::settings::reference_markdown()
}
