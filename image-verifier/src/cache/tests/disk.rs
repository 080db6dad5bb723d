//! What may happen to the files of the cache.

use super::*;

#[test]
fn whatever_byte_of_an_entry_changes_it_is_none_and_is_removed() {
    let world = World::new();
    world.put(&passed());
    let whole = fs::read(world.file()).unwrap();
    let key = world.key();
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        for bit in 0..8 {
            changed[index] = whole[index] ^ (1 << bit);
            assert_eq!(Entry::from_bytes(&changed, &key), None, "{index}");
        }
        assert_eq!(Entry::from_bytes(&whole[..index], &key), None, "{index}");
        fs::write(world.file(), &changed).unwrap();
        assert_eq!(world.get(), None, "{index}");
        assert!(!world.file().exists());
    }
    for other in [
        &b""[..],
        b"\n",
        b"{}",
        &[whole.as_slice(), b"\n"].concat(),
        &whole.repeat(2),
    ] {
        fs::write(world.file(), other).unwrap();
        assert_eq!(world.get(), None);
        assert!(!world.file().exists());
    }
    fs::write(world.file(), &whole).unwrap();
    assert!(world.get().is_some());
}

#[test]
fn an_entry_under_another_name_or_for_another_image_is_none() {
    let world = World::new();
    world.put(&passed());
    let bytes = fs::read(world.file()).unwrap();
    let other = World {
        subject: subject("example.com/app:v2", "other"),
        ..world
    };
    fs::create_dir_all(other.bucket()).unwrap();
    fs::write(other.file(), &bytes).unwrap();
    assert_eq!(other.get(), None);
    // Even if it says that it is for this key.
    let key = other.key();
    let own = Key::of(&app(), &other.flat.decide(&app().image)).unwrap();
    let entry = Entry::from_bytes(&bytes, &own).unwrap();
    assert_eq!(Entry::from_bytes(&entry.to_bytes(&key), &key), None);
}

#[test]
fn an_entry_by_others_than_the_policy_demands_is_none() {
    for (enforced, audited, why) in [
        (vec![signed("p", &[])], vec![signed("q", &["c"])], "nobody"),
        (
            vec![signed("p", &["x"])],
            vec![signed("q", &["c"])],
            "a stranger",
        ),
        (
            vec![signed("p", &["a", "x"])],
            vec![signed("q", &["c"])],
            "a stranger as well",
        ),
        (
            vec![signed("r", &["a"])],
            vec![signed("q", &["c"])],
            "another policy",
        ),
        (vec![signed("p", &["a"])], vec![], "an audit is missing"),
        (
            vec![signed("p", &["a"]), signed("r", &["a"])],
            vec![signed("q", &["c"])],
            "one policy too many",
        ),
    ] {
        let world = World::new();
        let verdict = Verdict {
            enforced,
            audited,
            ..passed()
        };
        assert!(world.put(&verdict), "{why}");
        assert_eq!(world.get(), None, "{why}");
        assert!(!world.file().exists(), "{why}");
    }
    let mut drafts = usual();
    drafts[0].requirement.threshold = 2;
    let world = World {
        flat: flat(drafts),
        ..World::new()
    };
    world.put(&passed());
    assert_eq!(world.get(), None);
    world.put(&Verdict {
        enforced: vec![signed("p", &["a", "b"])],
        ..passed()
    });
    assert!(world.get().is_some());
}

#[test]
fn what_somebody_planted_is_not_used_and_is_removed() {
    let world = World::new();
    world.put(&passed());
    let good = fs::read(world.file()).unwrap();
    let elsewhere = world.root.path().join("elsewhere");
    fs::write(&elsewhere, &good).unwrap();
    fs::remove_file(world.file()).unwrap();
    symlink(&elsewhere, world.file()).unwrap();
    assert_eq!(world.get(), None);
    assert!(!world.file().is_symlink());
    assert!(elsewhere.exists());

    world.put(&passed());
    fs::set_permissions(world.file(), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(world.get(), None);

    if rustix::process::geteuid().is_root() {
        world.put(&passed());
        std::os::unix::fs::chown(world.file(), Some(1), Some(1)).unwrap();
        assert_eq!(world.get(), None);
    }

    let size = usize::try_from(MAX_ENTRY).unwrap() + 1;
    fs::write(world.file(), vec![b' '; size]).unwrap();
    assert_eq!(world.get(), None);
    assert!(!world.file().exists());

    fs::create_dir(world.file()).unwrap();
    assert_eq!(world.get(), None);
    assert!(world.cache().put(&world.key(), &passed(), at(NOW)).is_err());
}

#[test]
fn a_planted_folder_is_not_used() {
    let world = World::new();
    world.put(&passed());
    let (bucket, moved) = (world.bucket(), world.root.path().join("moved"));
    fs::rename(&bucket, &moved).unwrap();
    symlink(&moved, &bucket).unwrap();
    assert_eq!(world.get(), None);
    assert!(world.cache().put(&world.key(), &passed(), at(NOW)).is_err());
    assert!(moved.join(world.key().name()).exists());

    fs::remove_file(&bucket).unwrap();
    fs::rename(&moved, &bucket).unwrap();
    assert!(world.get().is_some());
    let cache = bucket.parent().unwrap();
    fs::set_permissions(cache, fs::Permissions::from_mode(0o777)).unwrap();
    let error = Cache::open(world.root.path(), DEFAULT_MAX_AGE).unwrap_err();
    assert!(matches!(error, StateError::Untrusted { .. }), "{error}");
}

#[test]
fn the_oldest_entries_make_room() {
    let world = World::new();
    fs::create_dir_all(world.bucket()).unwrap();
    let wrote = |name: &str, unix: i64| {
        let file = fs::File::create(world.bucket().join(name)).unwrap();
        let unix = u64::try_from(unix).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(unix))
            .unwrap();
    };
    for index in 0..70 {
        wrote(&index.to_string(), NOW - 1000 + index);
    }
    wrote("future", NOW + HOUR);
    assert!(world.put(&passed()));
    assert!(world.get().is_some());
    let left: BTreeSet<String> = fs::read_dir(world.bucket())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left.len(), MAX_ENTRIES);
    assert!(!left.contains("future"));
    assert!((0..7).all(|old| !left.contains(&old.to_string())));
    assert!((7..70).all(|young| left.contains(&young.to_string())));
    // Putting it again takes nobody's place.
    world.put(&passed());
    assert_eq!(fs::read_dir(world.bucket()).unwrap().count(), MAX_ENTRIES);
}

/// The key of an image, if its entry is in the folder of the world's.
fn beside(world: &World, name: &str) -> Option<Key> {
    let subject = subject(name, "app");
    let key = Key::of(&subject, &world.flat.decide(&subject.image)).unwrap();
    (key.bucket() == world.key().bucket()).then_some(key)
}

/// So many of them, for the names that `name` makes of numbers.
fn named(world: &World, count: usize, name: impl Fn(u32) -> String) -> Vec<Key> {
    let keys = (0..).filter_map(|index| beside(world, &name(index)));
    keys.take(count).collect()
}

/// Keeps an entry that is so many seconds old.
fn put_aged(world: &World, key: &Key, age: i64) {
    assert!(world.cache().put(key, &passed(), at(NOW)).unwrap());
    let file = fs::File::open(world.bucket().join(key.name())).unwrap();
    let written = u64::try_from(NOW - age).unwrap();
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(written);
    file.set_modified(written).unwrap();
}

#[test]
fn many_tags_of_one_image_evict_nobody_else() {
    let world = World::new();
    let named = |count, name: &dyn Fn(u32) -> String| named(&world, count, name);
    let others = named(20, &|index| format!("example.com/other{index}:v1"));
    let tags = named(2 * MAX_ENTRIES, &|index| {
        format!("example.com/app:v{index}")
    });
    let put = |key: &Key, age: i64| put_aged(&world, key, age);
    let is_kept = |key: &&Key| world.bucket().join(key.name()).exists();
    // They are the oldest of all.
    for key in &others {
        put(key, HOUR);
    }
    for key in &tags {
        put(key, 2);
    }
    assert!(others.iter().all(|key| is_kept(&key)));
    assert!(is_kept(&&tags[tags.len() - 1]));
    assert_eq!(tags.iter().filter(is_kept).count(), MAX_ENTRIES - 20);
    // Nor does it keep anybody out.
    let late = named(20, &|index| format!("example.com/late{index}:v1"));
    for key in &late {
        put(key, 1);
    }
    assert!(others.iter().chain(&late).all(|key| is_kept(&key)));
    assert_eq!(tags.iter().filter(is_kept).count(), MAX_ENTRIES - 40);
    // Where everybody has one, the oldest goes.
    let crowd = named(MAX_ENTRIES, &|index| format!("example.com/crowd{index}:v1"));
    for key in &crowd {
        put(key, 0);
    }
    assert!(crowd.iter().all(|key| is_kept(&key)));
}

#[test]
fn of_equals_the_new_entrys_repository_makes_room() {
    let world = World::new();
    let half = MAX_ENTRIES / 2;
    let old = named(&world, half, |index| format!("example.com/old:v{index}"));
    let own = named(&world, half, |index| format!("example.com/app:v{index}"));
    let single = named(&world, 1, |index| format!("example.com/single{index}:v1"));
    for (keys, age) in [(&old[..], HOUR), (&single, HOUR), (&own[1..], 1)] {
        for key in keys {
            put_aged(&world, key, age);
        }
    }
    put_aged(&world, &own[0], 0);
    let is_kept = |key: &&Key| world.bucket().join(key.name()).exists();
    assert!(old.iter().chain(&single).all(|key| is_kept(&key)));
    assert!(is_kept(&&own[0]));
    assert_eq!(own.iter().filter(is_kept).count(), half - 1);
}

#[test]
fn a_folder_that_stays_locked_keeps_nothing_and_stops_nobody() {
    let world = World::new();
    world.put(&passed());
    let bucket = world.cache().folder.child(&world.key().bucket()).unwrap();
    bucket.lock(Duration::ZERO).unwrap();
    let error = world
        .cache()
        .put(&world.key(), &passed(), at(NOW))
        .unwrap_err();
    assert!(matches!(error, StateError::Locked(_)), "{error}");
    assert!(world.get().is_some());
}

#[test]
fn a_verdict_with_too_much_in_it_is_not_kept() {
    let world = World::new();
    let many = (0..2000).map(|index| format!("a{index}")).collect();
    let mut verdict = passed();
    verdict.enforced[0].signed_by = many;
    assert!(!world.put(&verdict));
}
