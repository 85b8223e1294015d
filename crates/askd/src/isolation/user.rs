//! Who agents are: the server's own user.

use std::path::Path;

use super::report::User;
use crate::small_file;

/// A file of users is shorter, or its names are not needed.
const MAX_PASSWD: u64 = 4 << 20;

/// The effective user.
pub(super) fn own() -> User {
    let uid = rustix::process::geteuid().as_raw();
    let names = small_file::read_text(Path::new("/etc/passwd"), MAX_PASSWD).unwrap_or_default();
    User { uid, name: name_of(uid, &names), root: uid == 0 }
}

fn name_of(uid: u32, passwd: &str) -> Option<String> {
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    };
    passwd.lines().find_map(of_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_its_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n# a comment\nnobody:x:65534:65534::/:/bin/false\n";
        assert_eq!(name_of(65534, passwd).as_deref(), Some("nobody"));
        assert_eq!(name_of(1, passwd), None);
    }
}
