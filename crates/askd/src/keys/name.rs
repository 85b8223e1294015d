//! Characters that nobody sees.

/// Whether a character does something to others instead of being seen: moves the cursor, turns the direction of writing
/// (`U+202A` to `U+202E`, `U+2066` to `U+2069`), or has no width. Two names that differ by such look alike.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_turns_or_hides_text_is_unseen_and_letters_of_all_scripts_are_not() {
        for c in "\0\u{1b}\u{85}\u{200b}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}".chars() {
            assert!(is_unseen(c), "{c:?}");
        }
        for c in "aZ0 _-é中עع🙂\u{fffd}".chars() {
            assert!(!is_unseen(c), "{c:?}");
        }
    }
}
