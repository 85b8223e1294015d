use super::super::exchange::ASIDE;
use super::*;

#[test]
fn the_time_that_an_agent_gave_its_transcript_does_not_count() {
    let f = fixture();
    let home = f.home("home");
    Fixture::write(&home, "old");
    let file = fs::File::options().write(true).open(project_folder(&home).join(file_name(ID))).unwrap();
    let begun = file.metadata().unwrap().modified().unwrap();
    file.set_modified(begun + Duration::from_hours(24 * 365 * 100)).unwrap();
    f.sessions.carry_back(ID, &home).unwrap();
    let hour = Duration::from_hours(1);
    assert_eq!(f.sessions.prune(begun + hour * 3, hour * 2, |_| false).unwrap(), 1);
}

#[test]
fn old_sessions_go_unless_they_are_in_use() {
    let f = fixture();
    let home = f.home("home");
    Fixture::write(&home, "old");
    f.sessions.carry_back(ID, &home).unwrap();
    let hour = Duration::from_hours(1);
    let later = |hours| SystemTime::UNIX_EPOCH + fs_age(&f) + hour * hours;
    assert_eq!(f.sessions.prune(later(1), hour * 2, |_| false).unwrap(), 0);
    assert_eq!(f.sessions.prune(later(3), hour * 2, |id| id == ID).unwrap(), 0);
    assert_eq!(f.sessions.prune(later(3), hour * 2, |_| false).unwrap(), 1);
    assert!(!f.sessions.exists(ID));
}

#[test]
fn beyond_their_size_those_go_that_were_not_used_for_the_longest_time() {
    let f = fixture();
    let hour = Duration::from_hours(1);
    for number in 1..=4_u32 {
        let session = Uuid::from_u128(number.into());
        let folder = f.sessions.folder.join(session.to_string());
        fs::create_dir_all(folder.join(session.to_string())).unwrap();
        fs::write(folder.join(session.to_string()).join("big"), vec![1; 256 << 10]).unwrap();
        fs::write(folder.join(file_name(session)), "x").unwrap();
        let file = fs::File::options().write(true).open(folder.join(file_name(session))).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + hour * number).unwrap();
    }
    let there = || (1..=4).filter(|number| f.sessions.exists(Uuid::from_u128(*number))).collect::<Vec<_>>();
    assert_eq!(f.sessions.prune_to_size(2 << 20, |_| false).unwrap(), 0, "there is room for all");
    assert_eq!(f.sessions.prune_to_size(600 << 10, |session| session.as_u128() == 1).unwrap(), 2);
    assert_eq!(there(), [1, 4], "the oldest is in use");
}

#[test]
fn a_session_that_is_taken_up_while_it_goes_comes_back() {
    let f = fixture();
    let home = f.home("home");
    Fixture::write(&home, "old");
    f.sessions.carry_back(ID, &home).unwrap();
    let looks = std::cell::Cell::new(0);
    let later = SystemTime::UNIX_EPOCH + fs_age(&f) + Duration::from_hours(2);
    let in_use = |_| looks.replace(looks.get() + 1) > 0;
    assert_eq!(f.sessions.prune(later, Duration::from_hours(1), in_use).unwrap(), 0);
    assert!(f.sessions.exists(ID) && looks.get() == 2);
}

#[test]
fn what_cannot_be_removed_does_not_keep_the_rest_and_what_a_crash_left_goes() {
    let f = fixture();
    let home = f.home("home");
    Fixture::write(&home, "old");
    f.sessions.carry_back(ID, &home).unwrap();
    for file in 8..20 {
        fs::write(f.sessions.folder.join(Uuid::from_u128(file).to_string()), "no folder").unwrap();
    }
    let left = f.sessions.folder.join(format!("{ASIDE}{}", Uuid::from_u128(20)));
    fs::create_dir(&left).unwrap();
    let later = SystemTime::UNIX_EPOCH + fs_age(&f) + Duration::from_hours(2);
    assert_eq!(f.sessions.prune(later, Duration::from_hours(1), |_| false).unwrap(), 1);
    assert!(!f.sessions.exists(ID) && !left.exists());
}

fn fs_age(f: &Fixture) -> Duration {
    let modified = fs::metadata(f.sessions.transcript(ID)).unwrap().modified().unwrap();
    modified.duration_since(SystemTime::UNIX_EPOCH).unwrap()
}
