//! `lodestar-requests.jsonl`: requests with random content, with the roots of Lodestar's SSZ types
//! (`tests/forksim/signing-vectors.mjs` makes them).

use crate::vectors::{lodestar, parse};

#[test]
fn every_root_is_lodestars() {
    let cases = lodestar();
    assert_eq!(cases.len(), 315);
    for case in cases {
        let tags = &case.line["tags"];
        let duty = parse(&case.request, &case.network)
            .unwrap_or_else(|refusal| panic!("{} {tags}: {refusal}", case.id));
        assert_eq!(duty.signing_root().to_string(), case.signing_root, "{} {tags}", case.id);
    }
}
