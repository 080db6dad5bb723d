//! How many authorities must have signed.

use anyhow::Result;

use super::STRANGER;
use crate::case::{Case, With as _, policy};
use crate::world::{Signer, World};

pub(super) async fn cases(world: &World) -> Result<Vec<Case>> {
    let [a, b, c] = &world.signers;
    let scope = world.scope("threshold");
    let wants = |threshold, by: &[&Signer]| {
        let policy = policy("p", &[&scope]).threshold(threshold);
        by.iter()
            .fold(policy, |policy, signer| policy.by(&signer.pem))
    };
    let signed = async |name: &str, by: &[&Signer]| {
        let repository = format!("threshold/{name}");
        world.signed(&repository, "v1", by).await
    };
    let only_a = signed("aa", &[a]).await?;
    let only_b = signed("bb", &[b]).await?;
    let only_c = signed("cc", &[c]).await?;
    let a_and_b = signed("ab", &[a, b]).await?;
    let a_and_c = signed("ac", &[a, c]).await?;
    let b_and_c = signed("bc", &[b, c]).await?;
    let all = signed("abc", &[a, b, c]).await?;
    let twice = signed("twice", &[a, a]).await?;

    let one_of_two = wants(1, &[a, b]);
    let two_of_two = wants(2, &[a, b]);
    let two_of_three = wants(2, &[a, b, c]);
    let mut cases = vec![
        Case::new("1 of 2 by the first", &only_a).policy(&one_of_two),
        Case::new("1 of 2 by the second", &only_b).policy(&one_of_two),
        Case::new("1 of 2 by a third", &only_c)
            .policy(&one_of_two)
            .refused(STRANGER),
        Case::new("2 of 2 by both", &a_and_b).policy(&two_of_two),
        Case::new("2 of 2 by one", &only_a)
            .policy(&two_of_two)
            .refused(STRANGER),
        Case::new("2 of 2 by one of them and a third", &a_and_c)
            .policy(&two_of_two)
            .refused(STRANGER),
        Case::new("2 of 2 by one, twice", &twice)
            .policy(&two_of_two)
            .refused(STRANGER),
        Case::new("3 of 3 by all", &all).policy(&wants(3, &[a, b, c])),
        Case::new("3 of 3 by two", &b_and_c)
            .policy(&wants(3, &[a, b, c]))
            .refused(STRANGER),
    ];
    for (what, image) in [
        ("2 of 3 by the first two", &a_and_b),
        ("2 of 3 by the first and the last", &a_and_c),
        ("2 of 3 by the last two", &b_and_c),
        ("2 of 3 by all", &all),
    ] {
        cases.push(Case::new(what, image).policy(&two_of_three));
    }
    for (what, image) in [
        ("2 of 3 by the first alone", &only_a),
        ("2 of 3 by the second alone", &only_b),
        ("2 of 3 by the third alone", &only_c),
    ] {
        let case = Case::new(what, image).policy(&two_of_three);
        cases.push(case.refused(STRANGER));
    }

    let rotation = format!("{}{}", a.pem, b.pem);
    let rotating = policy("p", &[&scope]).by(&rotation);
    let rotating_and_c = rotating.clone().by(&c.pem).threshold(2);
    cases.extend([
        Case::new("the old key of a rotation", &only_a).policy(&rotating),
        Case::new("the new key of a rotation", &only_b).policy(&rotating),
        Case::new("no key of a rotation", &only_c)
            .policy(&rotating)
            .refused(STRANGER),
        Case::new("both keys of a rotation are one signer", &a_and_b)
            .policy(&rotating_and_c)
            .refused(STRANGER),
        Case::new("a key of a rotation and another signer", &b_and_c).policy(&rotating_and_c),
    ]);
    Ok(cases)
}
