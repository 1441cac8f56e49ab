//! The proof itself: a MAC over the body while it arrives, and a value that only a proven body can become.
//!
//! [`Proving`] takes the body chunk by chunk, under a limit, and feeds the MAC of every active secret. [`Proving::finish`]
//! compares all of them with the claimed signature in constant time, without stopping at a match, and only then makes a
//! [`Verified`]. There are two ways to one, both here: a signature that verified, and a door that the config leaves open by
//! name ([`Proving::unsigned_by_config`]). Everything that interprets a body asks for a [`Verified`], which can't be forged:
//!
//! ```compile_fail
//! use missived::hook::{Body, Verified};
//!
//! fn forge(body: Body) -> Verified<Body> {
//!     Verified { proven: body }
//! }
//! ```
//!
//! nor can the body inside it be made:
//!
//! ```compile_fail
//! let body = missived::hook::Body { bytes: Vec::new(), digest: [0; 32] };
//! ```

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::Door;
use super::refusal::{Refusal, Unauthentic};
use super::signature::Signature;

type HmacSha256 = Hmac<Sha256>;

/// Something that has been proven. Only this module makes one.
#[derive(Debug)]
pub struct Verified<T> {
    proven: T,
}

impl<T> Verified<T> {
    pub const fn get(&self) -> &T {
        &self.proven
    }
}

/// The exact bytes of a request body.
pub struct Body {
    bytes: Vec<u8>,
    /// The MAC over the bytes with the door's first secret: equal for equal bodies, and no stranger can aim at it.
    digest: [u8; 32],
}

impl Body {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.bytes.len())
    }
}

/// A body that is what the owner of a door sent.
#[derive(Debug)]
pub struct Proven<'d> {
    pub door: &'d Door,
    pub body: Verified<Body>,
}

/// Who stands at the door.
#[derive(Clone, Copy, Debug)]
pub(super) enum Visitor<'d> {
    Known(&'d Door),
    /// At a door that doesn't exist: given the same trouble, and always refused.
    Unknown,
}

#[derive(Debug)]
enum Claim {
    Signature(Signature),
    Unsigned,
}

/// A request whose head was admitted and whose body is being read.
pub struct Proving<'d> {
    visitor: Visitor<'d>,
    claim: Claim,
    /// One a secret, in the order of the config; never empty.
    macs: Vec<HmacSha256>,
    bytes: Vec<u8>,
    body_bytes_max: usize,
}

impl<'d> Proving<'d> {
    pub(super) fn signed(visitor: Visitor<'d>, signature: Signature, body_bytes_max: usize) -> Self {
        let macs = match visitor {
            Visitor::Known(door) => door.secrets.iter().map(|secret| keyed(secret.expose())).collect(),
            Visitor::Unknown => vec![keyed(&[])],
        };
        Self { visitor, claim: Claim::Signature(signature), macs, bytes: Vec::new(), body_bytes_max }
    }

    /// The config says `insecure_unsigned` for this door: whoever reaches it is believed.
    pub(super) fn unsigned_by_config(door: &'d Door, body_bytes_max: usize) -> Self {
        let macs = vec![keyed(&[])];
        Self { visitor: Visitor::Known(door), claim: Claim::Unsigned, macs, bytes: Vec::new(), body_bytes_max }
    }

    /// Takes the next piece of the body.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        if chunk.len() > self.body_bytes_max - self.bytes.len() {
            return Err(Refusal::TooLarge);
        }
        self.bytes.extend_from_slice(chunk);
        self.macs.iter_mut().for_each(|mac| mac.update(chunk));
        Ok(())
    }

    /// The body is complete: believes it or not.
    pub fn finish(self) -> Result<Proven<'d>, Refusal> {
        let macs: Vec<[u8; 32]> = self.macs.into_iter().map(|mac| mac.finalize().into_bytes().into()).collect();
        let genuine = match self.claim {
            Claim::Signature(signature) => any_equals(&macs, &signature),
            Claim::Unsigned => Choice::from(1),
        };
        match (self.visitor, bool::from(genuine)) {
            (Visitor::Known(door), true) => {
                let body = Body { bytes: self.bytes, digest: macs[0] };
                Ok(Proven { door, body: Verified { proven: body } })
            }
            (Visitor::Known(_), false) => Err(Unauthentic::Wrong.into()),
            (Visitor::Unknown, true | false) => Err(Unauthentic::Channel.into()),
        }
    }
}

impl fmt::Debug for Proving<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proving({} bytes)", self.bytes.len())
    }
}

fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn any_equals(macs: &[[u8; 32]], signature: &Signature) -> Choice {
    macs.iter().fold(Choice::from(0), |found, mac| found | mac.ct_eq(&signature.0))
}

#[cfg(test)]
mod tests {
    use super::super::tests::door;
    use super::super::{Doors, Head, Protocol};
    use super::*;

    const BODY: &str = r#"{"message":{"id":"m-1","type":"custom_text","body":"ack"},"conversation":{"id":"c-1"}}"#;
    const SIGNATURE: &str = "8af612fdf00ba7a1ea11cd480eb74a3a05b1bc2d92d7090e2041b2e61a7d676d";

    fn verify(door: Door, path: &str, body: &[u8], signature: &str) -> Result<Vec<u8>, Refusal> {
        let headers = [("host", "h".as_bytes()), ("x-hook-signature", signature.as_bytes())].into_iter().collect();
        let doors = Doors::new([door], 1000);
        let head = Head { protocol: Protocol::Http11, method: "POST", path, headers };
        let mut proving = doors.admit(&head)?;
        body.chunks(7).try_for_each(|chunk| proving.push(chunk))?;
        proving.finish().map(|proven| proven.body.get().bytes().to_vec())
    }

    #[test]
    fn what_missive_signs_is_believed() {
        let body = BODY.as_bytes();
        assert_eq!(verify(door("ops", &["s3cr3t"]), "/hooks/ops", body, SIGNATURE), Ok(body.to_vec()));
    }

    #[test]
    fn the_mac_is_the_one_of_rfc_4231() {
        let signature = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let body = b"what do ya want for nothing?";
        assert_eq!(verify(door("ops", &["Jefe"]), "/hooks/ops", body, signature), Ok(body.to_vec()));
    }

    #[test]
    fn any_active_secret_proves_a_body_and_no_other() {
        let rows: [(&[&str], &str, Result<(), Refusal>); 5] = [
            (&["s3cr3t", "next"], "/hooks/ops", Ok(())),
            (&["former", "s3cr3t"], "/hooks/ops", Ok(())),
            (&["S3cr3t"], "/hooks/ops", Err(Unauthentic::Wrong.into())),
            (&["former", "next"], "/hooks/ops", Err(Unauthentic::Wrong.into())),
            (&["s3cr3t"], "/hooks/nobody", Err(Unauthentic::Channel.into())),
        ];
        for (secrets, path, outcome) in rows {
            let verified = verify(door("ops", secrets), path, BODY.as_bytes(), SIGNATURE).map(|_| ());
            assert_eq!(verified, outcome, "{secrets:?} {path}");
        }
    }

    #[test]
    fn no_single_changed_bit_of_body_or_signature_is_believed() {
        for at in 0..BODY.len() {
            let mut body = BODY.as_bytes().to_vec();
            body[at] ^= 1;
            let refused = verify(door("ops", &["s3cr3t"]), "/hooks/ops", &body, SIGNATURE);
            assert_eq!(refused, Err(Unauthentic::Wrong.into()), "byte {at}");
        }
        for at in 0..SIGNATURE.len() {
            let mut signature = SIGNATURE.to_owned();
            let other = if &signature[at..=at] == "0" { "1" } else { "0" };
            signature.replace_range(at..=at, other);
            let refused = verify(door("ops", &["s3cr3t"]), "/hooks/ops", BODY.as_bytes(), &signature);
            assert_eq!(refused, Err(Unauthentic::Wrong.into()), "digit {at}");
        }
    }

    #[test]
    fn the_key_of_the_decoy_opens_nothing() {
        let mac: [u8; 32] = {
            let mut mac = keyed(&[]);
            mac.update(b"{}");
            mac.finalize().into_bytes().into()
        };
        let signature: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let refused = verify(door("ops", &["s3cr3t"]), "/hooks/nobody", b"{}", &signature);
        assert_eq!(refused, Err(Unauthentic::Channel.into()));
    }

    #[test]
    fn a_door_without_a_secret_is_open_because_the_config_says_so() {
        let proven = verify(door("ops", &[]), "/hooks/ops", b"{}", "nonsense");
        assert_eq!(proven, Ok(b"{}".to_vec()));
    }

    #[test]
    fn a_body_over_the_limit_is_refused_at_the_chunk_that_crosses_it() {
        let open = door("ops", &[]);
        let mut proving = Proving::unsigned_by_config(&open, 10);
        assert_eq!(proving.push(&[b'x'; 10]), Ok(()));
        assert_eq!(proving.push(&[]), Ok(()));
        assert_eq!(proving.push(b"x"), Err(Refusal::TooLarge));
    }
}
