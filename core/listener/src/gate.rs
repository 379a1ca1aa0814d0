//! Who may have a hot call answered here: whoever shows a secret that is known, at a rate that is its own. Everybody else is
//! the other side's, which has the rules and the words for it.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

use crate::rates::Rate;

/// SHA-256 of a secret. Secrets are long and random, so that it tells nothing of them, and looking it up in a table with a
/// random seed takes no time that depends on what somebody without the secret could choose.
pub type Print = [u8; 32];

/// Keys that may predict.
#[derive(Default)]
pub(crate) struct Gate(ArcSwapOption<HashMap<Print, Arc<Rate>>>);

/// What the gate says of a call.
pub(crate) enum Verdict {
    /// Nobody is asked for a key.
    Open,
    /// The key is known and its rate allows the call, which is counted.
    Known(Pass),
    /// The other side decides.
    Elsewhere,
}

/// A key that was known.
#[derive(Clone)]
pub(crate) struct Pass {
    print: Print,
    /// How often it may call.
    pub rate: Arc<Rate>,
}

impl Gate {
    /// From now on only these keys may; all when there is no table.
    pub(crate) fn set(&self, keys: Option<HashMap<Print, Arc<Rate>>>) {
        self.0.store(keys.map(Arc::new));
    }

    pub(crate) fn check(&self, headers: &HeaderMap) -> Verdict {
        let keys = self.0.load();
        let Some(keys) = keys.as_deref() else { return Verdict::Open };
        let Some(secret) = secret(headers) else { return Verdict::Elsewhere };
        let print: Print = Sha256::digest(secret).into();
        match keys.get(&print) {
            Some(rate) if rate.take() => Verdict::Known(Pass { print, rate: Arc::clone(rate) }),
            _ => Verdict::Elsewhere,
        }
    }

    /// Whether a key is still known.
    pub(crate) fn holds(&self, pass: &Pass) -> bool {
        self.0.load().as_deref().is_none_or(|keys| keys.contains_key(&pass.print))
    }
}

/// The only secret that a call shows.
fn secret(headers: &HeaderMap) -> Option<&[u8]> {
    let mut shown = headers.get_all(AUTHORIZATION).iter().chain(headers.get_all("x-api-key"));
    let (only, None) = (shown.next()?.as_bytes(), shown.next()) else { return None };
    if headers.contains_key(AUTHORIZATION) { only.strip_prefix(b"Bearer ") } else { Some(only) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut made = HeaderMap::new();
        for &(name, value) in pairs {
            made.append(name, HeaderValue::from_static(value));
        }
        made
    }

    fn gate(secrets: &[&str]) -> Gate {
        let gate = Gate::default();
        let key = |secret: &&str| (Sha256::digest(secret).into(), Arc::new(Rate::new(0.0, 2.0)));
        gate.set(Some(secrets.iter().map(key).collect()));
        gate
    }

    #[test]
    fn only_a_plain_known_secret_passes() {
        let gate = gate(&["open sesame"]);
        let known = |pairs| matches!(gate.check(&headers(pairs)), Verdict::Known(_));
        for pairs in [
            &[][..],
            &[("authorization", "open sesame")],
            &[("authorization", "bearer open sesame")],
            &[("authorization", "Bearer  open sesame")],
            &[("authorization", "Bearer open sesame ")],
            &[("authorization", "Bearer open")],
            &[("authorization", "Bearer open sesame"), ("x-api-key", "open sesame")],
            &[("x-api-key", "open sesame"), ("x-api-key", "open sesame")],
            &[("x-api-key", "")],
            &[("x-api-key", "Bearer open sesame")],
        ] {
            assert!(!known(pairs), "{pairs:?}");
        }
        assert!(known(&[("authorization", "Bearer open sesame")]));
        assert!(known(&[("x-api-key", "open sesame")]));
        assert!(!known(&[("x-api-key", "open sesame")]), "its rate allows two");
    }

    #[test]
    fn a_key_that_is_taken_back_is_known_no_more() {
        let gate = gate(&["open sesame"]);
        let Verdict::Known(pass) = gate.check(&headers(&[("x-api-key", "open sesame")])) else { panic!("it is known") };
        assert!(gate.holds(&pass));
        gate.set(Some(HashMap::new()));
        assert!(!gate.holds(&pass));
        assert!(matches!(gate.check(&headers(&[("x-api-key", "open sesame")])), Verdict::Elsewhere));
        gate.set(None);
        assert!(matches!(gate.check(&headers(&[])), Verdict::Open));
    }
}
