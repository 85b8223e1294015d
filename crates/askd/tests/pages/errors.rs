//! The index of error codes.

use askd::api::error::code::ErrorCode;
use askd::api::error::kind::ErrorType;

use crate::page::read;

#[test]
fn the_index_of_errors_has_a_row_for_each_code_with_its_status() {
    let index = read("docs/errors/README.md");
    let codes = ErrorCode::ALL.iter().map(|code| {
        let (name, status) = code.describe();
        (name.to_owned(), Some(status.as_u16()))
    });
    // A type has several; the row names the usual one.
    let types = ErrorType::ALL.iter().map(|kind| (kind.as_str().to_owned(), None));
    for (name, status) in codes.chain(types) {
        let begin = format!("| [`{name}`]({name}.md) | ");
        let rows: Vec<_> = index.lines().filter_map(|line| line.strip_prefix(&*begin)).collect();
        assert_eq!(rows.len(), 1, "docs/errors/README.md has not one row for {name}");
        if let Some(status) = status {
            assert!(rows[0].starts_with(&format!("{status} |")), "{name} is {status}: {}", rows[0]);
        }
    }
}
