//! Users and groups, as far as `/etc/passwd` and `/etc/group` know them. Numbers always work.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::process::{Gid, getegid, geteuid, getgroups};

use super::{PrivilegesError, User};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Larger lists are cut; whoever stands behind that is named by numbers.
const MAX_LIST: u64 = 16 << 20;

/// Groups by which one becomes root, or reads what only root should: by a daemon that does what they say, by devices, by the
/// passwords.
const POWERFUL: [&str; 10] =
    ["disk", "docker", "incus", "incus-admin", "kmem", "libvirt", "lxd", "shadow", "sudo", "wheel"];

/// A name that no list has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unlisted {
    pub(super) name: String,
    pub(super) file: &'static str,
}

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

impl User {
    /// In its primary group alone.
    fn of(entry: &Entry<'_>) -> Self {
        Self { uid: entry.uid, gid: entry.gid, groups: vec![entry.gid], name: Some(entry.name.to_owned()) }
    }
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

    /// The user of `ASKD_RUN_AS`: a name or a number, and after a colon groups, the primary one first. Without groups it is
    /// the primary group of the user's entry; a number without an entry has the group of the same number, as images have it
    /// that make a user of their own.
    ///
    /// Other groups that the user is in are left out: those of a person (`docker`, `disk`) are often as good as root.
    pub(super) fn named(&self, text: &str) -> Result<User, Unlisted> {
        let (user, groups) = match text.split_once(':') {
            Some((user, groups)) => (user, Some(groups)),
            None => (text, None),
        };
        let mut found = match user.parse() {
            Ok(uid) => self.owner(uid, uid),
            Err(_) => match self.entries().find(|entry| entry.name == user) {
                Some(entry) => User::of(&entry),
                None => return Err(Unlisted { name: user.to_owned(), file: PASSWD }),
            },
        };
        if let Some(groups) = groups {
            found.groups = groups.split(',').map(|group| self.group(group)).collect::<Result<_, _>>()?;
            found.gid = *found.groups.first().unwrap_or(&found.gid);
        }
        Ok(found)
    }

    /// The user of this number, in its primary group alone. `gid` is the group of one who has no entry, unless it is root's.
    pub(super) fn owner(&self, uid: u32, gid: u32) -> User {
        if let Some(entry) = self.by_uid(uid) {
            return User::of(&entry);
        }
        let gid = if gid == 0 { uid } else { gid };
        User { uid, gid, groups: vec![gid], name: None }
    }

    /// Those of these groups by which one becomes root on many machines.
    pub(super) fn powerful(&self, groups: &[u32]) -> Vec<String> {
        let powerful = self.groups().filter(|(name, gid)| POWERFUL.contains(name) && groups.contains(gid));
        powerful.map(|(name, _)| name.to_owned()).collect()
    }

    fn group(&self, text: &str) -> Result<u32, Unlisted> {
        let by_name = || self.groups().find(|(name, _)| *name == text).map(|(_, gid)| gid);
        let gid = text.parse().ok().or_else(by_name);
        gid.ok_or_else(|| Unlisted { name: text.to_owned(), file: GROUP })
    }

    fn groups(&self) -> impl Iterator<Item = (&str, u32)> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?, fields.nth(1)?.parse().ok()?))
        })
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

/// The groups of this process by which it could become root on many machines, by name. Root needs none.
pub fn powerful_groups() -> Vec<String> {
    if geteuid().is_root() {
        return Vec::new();
    }
    let users = Users { passwd: String::new(), group: read(Path::new(GROUP)).unwrap_or_default() };
    let mut groups: Vec<_> = getgroups().unwrap_or_default().into_iter().map(Gid::as_raw).collect();
    groups.push(getegid().as_raw());
    users.powerful(&groups)
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
    fn a_user_has_its_primary_group_alone_unless_others_are_asked_for() {
        let user = users().named("agent").unwrap();
        assert_eq!((user.uid, user.gid, user.groups.as_slice()), (1000, 1001, &[1001][..]), "and not docker");
        assert_eq!(user.to_string(), "`agent` (uid 1000, gid 1001)");
        assert_eq!(users().named("1000"), Ok(user), "its number means the same");
        for text in ["agent:video,docker", "1000:44,998", "agent:44,docker"] {
            let user = users().named(text).unwrap();
            assert_eq!((user.uid, user.gid, user.groups.as_slice()), (1000, 44, &[44, 998][..]), "{text}");
        }
    }

    #[test]
    fn a_name_that_is_in_no_list_is_told_with_the_list() {
        let unlisted = |name: &str, file| Err(Unlisted { name: name.to_owned(), file });
        for name in ["nobody", "broken"] {
            assert_eq!(users().named(name), unlisted(name, PASSWD));
        }
        assert_eq!(users().named("agent:video,audio"), unlisted("audio", GROUP));
    }

    #[test]
    fn groups_that_are_as_good_as_root_are_known_by_their_names() {
        assert_eq!(users().powerful(&[1001, 998, 44]), ["docker"]);
        assert_eq!(users().powerful(&[1001]), [""; 0]);
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
