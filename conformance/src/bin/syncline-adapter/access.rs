//! Who a server of the adapter lets in (conformance/README.md, The adapter).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;
use syncline::clock::Replica;
use syncline::server::{Access, Grant, Revoked, Right, Rights, Tokens};

use crate::values::unhex;

/// The access that tokens give: everyone's where there are none.
pub fn tokens(json: &Json) -> Result<Access, String> {
    let Some(tokens) = json.as_object() else { return Ok(Access::default()) };
    let granted = tokens.iter().map(|(token, told)| Ok((token.clone(), grant(told)?)));
    Ok(Access::new(Tokens(granted.collect::<Result<BTreeMap<_, _>, String>>()?)))
}

/// The same access without what was taken back.
pub fn revoked(access: &Access, json: &Json) -> Result<Access, String> {
    let texts = |name: &str| json[name].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned);
    let replica = |hex: String| unhex(&hex)?.try_into().map(Replica).map_err(|_| "a replica id has 16 bytes".to_owned());
    let revoked = Revoked {
        subjects: texts("subjects").collect(),
        tokens: texts("tokens").collect(),
        replicas: texts("replicas").map(replica).collect::<Result<BTreeSet<_>, _>>()?,
    };
    Ok(Access { verifier: Arc::clone(&access.verifier), revoked })
}

/// A subject alone, or what else its token grants.
fn grant(told: &Json) -> Result<Grant, String> {
    if let Some(subject) = told.as_str() {
        return Ok(Grant::full(subject));
    }
    let full = Grant::full(told["subject"].as_str().ok_or("a token stands for no `subject`")?);
    let right = |(space, word): (&String, &Json)| {
        let right = word.as_str().and_then(Right::from_word).ok_or(format!("{word} is no right"))?;
        Ok((space.clone(), right))
    };
    let rights = match told["spaces"].as_object() {
        Some(spaces) => spaces.iter().map(right).collect::<Result<Rights, String>>()?,
        None => full.rights,
    };
    Ok(Grant {
        rights,
        creates: told["creates"].as_bool().unwrap_or(true),
        expires_ms: told["expires"].as_u64(),
        token_id: told["id"].as_str().map(str::to_owned),
        ..full
    })
}
