use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

const NAME: &str = "[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,2}";

/// Files end with a dot and a letter, folders do not: no path is both.
fn skill_content() -> impl Strategy<Value = Content> {
    let file = (vec(any::<u8>(), 0..40), any::<bool>()).prop_map(|(bytes, executable)| SkillFile { bytes, executable });
    btree_map("([a-zé _-]{1,90}/){0,4}[a-z0-9 é~$%-]{1,20}\\.[a-z]", file, 0..6)
        .prop_map(|files| Content::Skill(Skill { files }))
}

fn document() -> impl Strategy<Value = (DocumentId, Content)> {
    let content = || any::<String>().prop_map(Content::Text);
    let single = [Kind::ClaudeMd, Kind::Settings, Kind::McpServers, Kind::Policy];
    let named = [Kind::Agent, Kind::OutputStyle];
    let nested = [Kind::Rule, Kind::Command];
    let text = |kinds: Vec<Kind>, name: &'static str| {
        let id = (proptest::sample::select(kinds), name).prop_map(|(kind, name)| super::id(kind, &name));
        (id, content())
    };
    prop_oneof![
        text(single.to_vec(), ""),
        text(named.to_vec(), NAME),
        text(nested.to_vec(), "[a-z]{1,4}(/[a-z]{1,4}){0,5}"),
        (NAME.prop_filter("reserved", |name| name != "synced"), skill_content())
            .prop_map(|(name, content)| (super::id(Kind::Skill, &name), content)),
    ]
}

fn documents() -> impl Strategy<Value = Documents> {
    let all = vec(document(), 0..8).prop_map(BTreeMap::from_iter);
    // A skill without files is no skill, and nothing of it is in an archive.
    all.prop_map(|all| {
        let is_there = |content: &Content| !matches!(content, Content::Skill(skill) if skill.files.is_empty());
        all.into_iter().filter(|(_, content)| is_there(content)).collect()
    })
}

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Tar), Just(Format::Zip)]
}

/// Bytes changed here and there.
fn damaged(mut bytes: Vec<u8>, changes: &[(proptest::sample::Index, u8)], end: proptest::sample::Index) -> Vec<u8> {
    for (index, byte) in changes {
        let length = bytes.len();
        bytes[index.index(length)] = *byte;
    }
    let cut = end.index(bytes.len().clamp(1, 64));
    bytes.truncate(bytes.len() - cut);
    bytes
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_again(documents in documents(), format in format()) {
        prop_assert_eq!(read_user(format, &packed(format, &Scope::User, &documents)).unwrap(), documents);
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in vec(any::<u8>(), 0..2000), format in format()) {
        let _ = read_user(format, &bytes);
    }

    #[test]
    fn damage_gives_an_error_or_documents_that_can_be_written(
        documents in documents(),
        format in format(),
        changes in vec(any::<(proptest::sample::Index, u8)>(), 0..6),
        end in any::<proptest::sample::Index>(),
    ) {
        let bytes = damaged(packed(format, &Scope::User, &documents), &changes, end);
        if let Ok(documents) = read_user(format, &bytes) {
            prop_assert_eq!(read_user(format, &packed(format, &Scope::User, &documents)).unwrap(), documents);
        }
    }
}
