//! Files that are cut off, too large, missing or something else.

use super::*;

/// The files of the next version, each with what it is refused for when it is cut off.
fn files(lab: &Lab) -> [(String, Why); 4] {
    [
        ("timestamp.json".to_owned(), Why::Invalid),
        ("2.snapshot.json".to_owned(), Why::Mismatch),
        ("2.targets.json".to_owned(), Why::Invalid),
        (lab.repository.target_path(), Why::Mismatch),
    ]
}

async fn next() -> Result<Lab> {
    let mut lab = Lab::refreshed().await?;
    lab.repository.publish_target(trusted_root().as_bytes())?;
    Ok(lab)
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_refused() -> Result<()> {
    for index in 0..4 {
        let mut lab = next().await?;
        let (name, why) = files(&lab)[index].clone();
        let whole = lab.repository.file(&name)?;
        lab.repository.put(&name, &whole[..whole.len() / 2]);
        lab.refused(why).await;
        lab.repository.put(&name, whole);
        lab.good().await;
    }
    let mut lab = next().await?;
    let root = lab.repository.file("1.root.json")?;
    lab.repository.put("2.root.json", &root[..root.len() / 2]);
    lab.refused(Why::Invalid).await;
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused() -> Result<()> {
    for index in 0..4 {
        let mut lab = next().await?;
        let (name, _) = files(&lab)[index].clone();
        lab.repository.put(&name, vec![b' '; 300 * 1024]);
        lab.refused(Why::TooLarge).await;
    }
    let mut lab = next().await?;
    lab.repository.put("2.root.json", vec![b' '; 33 * 1024]);
    lab.refused(Why::TooLarge).await;
    Ok(())
}

/// Blanks that nobody has signed.
fn pad_roots(lab: &Lab, versions: std::ops::RangeInclusive<u64>) -> Result<()> {
    for version in versions {
        let name = format!("{version}.root.json");
        let mut root = lab.repository.file(&name)?;
        root.resize(30 * 1024, b' ');
        lab.repository.put(&name, root);
    }
    Ok(())
}

#[tokio::test]
async fn roots_that_a_mirror_padded_do_not_outlive_it() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    for _ in 0..34 {
        lab.repository.renew_root()?;
    }
    lab.repository.publish_target(trusted_root().as_bytes())?;
    let signed = lab.repository.all();
    // So much that nothing can be kept.
    pad_roots(&lab, 2..=35)?;
    lab.refused(Why::TooLarge).await;
    lab.repository.put_back(signed.clone());
    lab.good().await;

    // So much that there is room for what is there, and for no more.
    let mut lab = Lab::refreshed().await?;
    for _ in 0..24 {
        lab.repository.renew_root()?;
    }
    let signed = lab.repository.all();
    pad_roots(&lab, 2..=25)?;
    lab.good().await;
    let kept = lab.state.as_ref().unwrap().to_text().len();
    assert!(kept > 700 * 1024, "{kept}");
    lab.repository.padding.insert(Role::Targets, 240 * 1024);
    lab.repository.publish_target(trusted_root().as_bytes())?;
    lab.refused(Why::TooLarge).await;
    // Roots that were known must not be gone for that.
    let padded = lab.repository.all();
    for name in signed.keys().filter(|name| name.ends_with(".root.json")) {
        let version: u64 = name.split('.').next().unwrap_or_default().parse()?;
        if version < 25 {
            lab.repository.put(name, signed[name].clone());
        } else {
            lab.repository.remove(name);
        }
    }
    lab.refused(Why::TooLarge).await;
    lab.repository.put_back(padded);
    for (name, root) in signed
        .iter()
        .filter(|(name, _)| name.ends_with(".root.json"))
    {
        lab.repository.put(name, root.clone());
    }
    lab.good().await;
    Ok(())
}

#[tokio::test]
async fn a_target_that_says_it_is_too_large_is_not_fetched() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    lab.repository.publish_target(&vec![b' '; 300 * 1024])?;
    lab.server.asked();
    lab.refused(Why::TooLarge).await;
    let asked = lab.server.asked();
    assert!(!asked.contains(&lab.repository.target_path()), "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn a_repository_that_cannot_be_kept_whole_is_refused() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    for (role, kib) in [
        (Role::Root, 28),
        (Role::Snapshot, 110),
        (Role::Targets, 240),
    ] {
        lab.repository.padding.insert(role, kib * 1024);
    }
    for _ in 0..24 {
        lab.repository.renew_root()?;
    }
    lab.repository.publish_target(trusted_root().as_bytes())?;
    let message = lab.refused(Why::TooLarge).await;
    assert!(message.contains("900 KiB"), "{message}");
    let kept = lab.state.as_ref().unwrap().to_text().len();
    assert!(kept <= operator::tuf::MAX_STATE, "{kept}");
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_missing_is_named() -> Result<()> {
    for index in 0..4 {
        let mut lab = next().await?;
        let (name, _) = files(&lab)[index].clone();
        lab.repository.remove(&name);
        let message = lab.refused(Why::Missing).await;
        assert!(message.contains(&name), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn a_target_that_the_repository_does_not_have_is_missing() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.origin.target = "other.json".to_owned();
    let message = lab.refused(Why::Missing).await;
    assert!(message.contains("other.json"), "{message}");
    assert_eq!(lab.digest(), None);
    Ok(())
}

#[tokio::test]
async fn a_target_that_is_no_trusted_root_does_not_take_the_place_of_one() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    lab.repository.publish_target(b"{}")?;
    let message = lab.refused(Why::Invalid).await;
    assert!(
        message.starts_with("the target trusted_root.json: "),
        "{message}"
    );
    lab.repository.publish_target(trusted_root().as_bytes())?;
    lab.good().await;
    Ok(())
}

#[tokio::test]
async fn a_root_to_begin_with_that_is_none_is_refused() -> Result<()> {
    let lab = Lab::start().await?;
    let mut tuf = crds::convert::Tuf {
        mirror: Some(lab.server.url()),
        root: Some(lab.origin.root.clone()),
        target: TARGET.to_owned(),
        interval: DAY,
    };
    assert_eq!(Origin::of(&tuf), Ok(lab.origin.clone()));
    for (root, why) in [
        (lab.origin.root.replace("root", "roof"), Why::Invalid),
        (
            lab.origin.root.replace("\"version\": 1", "\"version\": 2"),
            Why::BadSignature,
        ),
        ("{}".to_owned(), Why::Invalid),
    ] {
        tuf.root = Some(root);
        assert_eq!(Origin::of(&tuf).unwrap_err().why, why);
    }
    Ok(())
}
