//! Users and groups, as far as `/etc/passwd` and `/etc/group` know them. Numbers always work.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::{PrivilegesError, User};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Larger lists are cut; whoever stands behind that is named by numbers.
const MAX_LIST: u64 = 16 << 20;

/// The two lists.
pub(super) struct Users {
    passwd: String,
    group: String,
}

/// One line of `/etc/passwd`.
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl Users {
    /// Those of this machine. A list that is not there is empty, as in small images.
    pub(super) fn system() -> Result<Self, PrivilegesError> {
        let read = |file| match read(Path::new(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|source| PrivilegesError::Users { file, source }),
        };
        Ok(Self { passwd: read(PASSWD)?, group: read(GROUP)? })
    }

    /// The user of `ASKD_RUN_AS`: a name, `UID` or `UID:GID`. A number without an entry has the group of the same number,
    /// as images have it that make a user of their own.
    pub(super) fn named(&self, text: &str) -> Option<User> {
        if let Some((uid, gid)) = text.split_once(':') {
            let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
            let name = self.by_uid(uid).map(|entry| entry.name.to_owned());
            return Some(User { uid, gid, groups: vec![gid], name });
        }
        match text.parse() {
            Ok(uid) => Some(self.owner(uid, uid)),
            Err(_) => self.entries().find(|entry| entry.name == text).map(|entry| self.with_groups(&entry)),
        }
    }

    /// The user of this number. `gid` is the group of one who has no entry, unless it is root's.
    pub(super) fn owner(&self, uid: u32, gid: u32) -> User {
        if let Some(entry) = self.by_uid(uid) {
            return self.with_groups(&entry);
        }
        let gid = if gid == 0 { uid } else { gid };
        User { uid, gid, groups: vec![gid], name: None }
    }

    fn with_groups(&self, entry: &Entry<'_>) -> User {
        let mut groups = vec![entry.gid];
        for line in self.group.lines() {
            let fields: Vec<_> = line.split(':').collect();
            if let [_, _, gid, members] = fields[..]
                && members.split(',').any(|member| member == entry.name)
                && let Ok(gid) = gid.parse()
                && !groups.contains(&gid)
            {
                groups.push(gid);
            }
        }
        User { uid: entry.uid, gid: entry.gid, groups, name: Some(entry.name.to_owned()) }
    }

    fn by_uid(&self, uid: u32) -> Option<Entry<'_>> {
        self.entries().find(|entry| entry.uid == uid)
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.passwd.lines().filter_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
            Some(Entry { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
        })
    }
}

/// The home that the list of users gives to this process's user.
pub fn own_home() -> Option<PathBuf> {
    let users = Users { passwd: read(Path::new(PASSWD)).ok()?, group: String::new() };
    let home = users.by_uid(geteuid().as_raw()).map(|entry| PathBuf::from(entry.home))?;
    home.is_absolute().then_some(home)
}

/// Names and comments in it need not be UTF-8; such a line is of no use, and harmless.
fn read(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_LIST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n\
                      # a remark\n\
                      agent:x:1000:1001:An, Agent:/home/agent:/bin/sh\n\
                      broken:x:many:1:\n";
        let group = "root:x:0:\nagent:x:1001:\ndocker:x:998:other,agent\nvideo:x:44:agents\nagain:x:1001:agent\n";
        Users { passwd: passwd.to_owned(), group: group.to_owned() }
    }

    #[test]
    fn a_name_brings_its_groups() {
        let user = users().named("agent").unwrap();
        assert_eq!((user.uid, user.gid, user.groups.as_slice()), (1000, 1001, &[1001, 998][..]));
        assert_eq!(user.to_string(), "`agent` (uid 1000, gid 1001)");
        assert_eq!(users().named("1000"), Some(user), "its number means the same");
        assert_eq!(users().named("nobody"), None);
        assert_eq!(users().named("broken"), None);
    }

    #[test]
    fn numbers_need_no_entry_and_a_group_that_is_given_is_the_only_one() {
        let user = users().named("4711").unwrap();
        assert_eq!((user.uid, user.gid, user.groups.as_slice(), user.name), (4711, 4711, &[4711][..], None));
        let user = users().named("1000:5").unwrap();
        assert_eq!((user.uid, user.gid, user.groups.as_slice()), (1000, 5, &[5][..]));
    }

    #[test]
    fn an_owner_without_an_entry_has_the_folder_s_group_but_never_that_of_root() {
        assert_eq!(users().owner(4711, 50).gid, 50);
        assert_eq!(users().owner(4711, 0).gid, 4711);
        assert_eq!(users().owner(1000, 50).gid, 1001, "the entry says");
    }

    #[test]
    fn this_machine_has_users() {
        assert!(Users::system().is_ok());
        assert!(own_home().is_none_or(|home| home.is_absolute()));
    }
}
