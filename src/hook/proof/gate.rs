//! The proofs of the ingest: a token that is known before the body is, or a signature over a body and what stands around it.

use std::fmt;

use hmac::Mac;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Body, HmacSha256, Locks, Verified, finalized, opened, take};
use crate::event::Timestamp;
use crate::hook::Secret;
use crate::hook::head::Headers;
use crate::hook::refusal::{Refusal, Unauthentic};
use crate::hook::signature::Signature;

const AUTHORIZATION: &str = "authorization";

/// The bearer token of the ingest, as a hash: no length and no byte of it can be told from the time a comparison takes.
#[derive(Clone)]
pub(in crate::hook) struct Bearer([u8; 32]);

/// A request carried the token. Only [`Bearer::seen`] makes one.
#[derive(Debug)]
pub(in crate::hook) struct TokenSeen(());

impl Bearer {
    pub(in crate::hook) fn new(token: &Secret) -> Self {
        Self(Sha256::digest(token.expose()).into())
    }

    /// The token is in these headers, once.
    pub(in crate::hook) fn seen(&self, headers: &Headers<'_>) -> Result<TokenSeen, Unauthentic> {
        let mut values = headers.all(AUTHORIZATION);
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(if headers.all(AUTHORIZATION).count() > 1 {
                Unauthentic::Several
            } else {
                Unauthentic::Missing
            });
        };
        let (scheme, token) = value.split_at_checked(7).ok_or(Unauthentic::Malformed)?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return Err(Unauthentic::Malformed);
        }
        let hash: [u8; 32] = Sha256::digest(token.trim_ascii()).into();
        bool::from(hash.ct_eq(&self.0)).then_some(TokenSeen(())).ok_or(Unauthentic::Wrong)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(redacted)")
    }
}

/// A signature, and what it covers besides the body.
#[derive(Debug)]
pub(in crate::hook) struct Signed {
    pub signature: Signature,
    pub before: Vec<u8>,
    pub after: Vec<u8>,
}

/// A request to the ingest whose body is being read.
pub struct GateProving<'g> {
    claim: Claim<'g>,
    bytes: Vec<u8>,
    body_bytes_max: usize,
}

enum Claim<'g> {
    Token(TokenSeen),
    Signature { macs: Vec<HmacSha256>, secrets: &'g [Secret], signature: Signature, after: Vec<u8> },
}

impl<'g> GateProving<'g> {
    pub(in crate::hook) const fn by_token(seen: TokenSeen, body_bytes_max: usize) -> Self {
        Self { claim: Claim::Token(seen), bytes: Vec::new(), body_bytes_max }
    }

    pub(in crate::hook) fn signed(locks: &Locks, secrets: &'g [Secret], signed: Signed, body_bytes_max: usize) -> Self {
        let mut macs = locks.0.clone();
        macs.iter_mut().for_each(|mac| mac.update(&signed.before));
        let claim = Claim::Signature { macs, secrets, signature: signed.signature, after: signed.after };
        Self { claim, bytes: Vec::new(), body_bytes_max }
    }

    /// Takes the next piece of the body.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        take(&mut self.bytes, chunk, self.body_bytes_max)?;
        if let Claim::Signature { macs, .. } = &mut self.claim {
            macs.iter_mut().for_each(|mac| mac.update(chunk));
        }
        Ok(())
    }

    /// The body is complete: believes it or not.
    pub fn finish(self, now: Timestamp) -> Result<Verified<Body>, Refusal> {
        let digest = match self.claim {
            Claim::Token(TokenSeen(())) => Sha256::digest(&self.bytes).into(),
            Claim::Signature { mut macs, secrets, signature, after } => {
                macs.iter_mut().for_each(|mac| mac.update(&after));
                let macs = finalized(macs);
                let secret = opened(&macs, secrets, &signature).ok_or(Unauthentic::Wrong)?;
                if !secret.is_active(now) {
                    return Err(Unauthentic::Expired.into());
                }
                macs[0]
            }
        };
        Ok(Verified { proven: Body { bytes: self.bytes, digest } })
    }
}

impl fmt::Debug for GateProving<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GateProving({} bytes)", self.bytes.len())
    }
}
