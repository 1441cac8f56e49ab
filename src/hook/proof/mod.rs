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

mod gate;

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::refusal::{Refusal, Unauthentic};
use super::signature::Signature;
use super::{Door, Secret};
use crate::event::Timestamp;

pub use gate::GateProving;
pub(super) use gate::{Bearer, Signed};

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

impl Verified<Body> {
    /// The bytes, to be interpreted in place, and their digest.
    pub(super) fn open(&mut self) -> (&mut [u8], [u8; 32]) {
        (&mut self.proven.bytes, self.proven.digest)
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
    pub by: ProvenBy<'d>,
}

/// What a body was believed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvenBy<'d> {
    /// The secret with this label.
    Secret(&'d str),
    /// The config's word that anybody is believed here.
    Config,
}

/// The keyed states that MACs begin from: one a secret, in the order of the config, then decoys up to a common number.
#[derive(Clone)]
pub(super) struct Locks(Vec<HmacSha256>);

impl Locks {
    /// One a secret, and no decoys: for doors that everybody may know of.
    pub(super) fn of(secrets: &[Secret]) -> Self {
        Self::new(secrets, secrets.len())
    }

    pub(super) fn new(secrets: &[Secret], width: usize) -> Self {
        let keyed_states = secrets.iter().map(|secret| keyed(secret.expose()));
        Self(keyed_states.chain(std::iter::repeat_with(|| keyed(&[]))).take(width.max(secrets.len())).collect())
    }
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locks({})", self.0.len())
    }
}

#[derive(Debug)]
enum Claim {
    Signature(Signature),
    Unsigned,
}

/// A request whose head was admitted and whose body is being read.
pub struct Proving<'d> {
    /// None: a door that doesn't exist, where everybody has the same trouble and is refused.
    door: Option<&'d Door>,
    claim: Claim,
    macs: Vec<HmacSha256>,
    bytes: Vec<u8>,
    body_bytes_max: usize,
}

impl<'d> Proving<'d> {
    pub(super) fn signed(door: Option<&'d Door>, locks: &Locks, signature: Signature, body_bytes_max: usize) -> Self {
        Self { door, claim: Claim::Signature(signature), macs: locks.0.clone(), bytes: Vec::new(), body_bytes_max }
    }

    /// The config says `insecure_unsigned` for this door: whoever reaches it is believed.
    pub(super) fn unsigned_by_config(door: &'d Door, locks: &Locks, body_bytes_max: usize) -> Self {
        Self { door: Some(door), claim: Claim::Unsigned, macs: locks.0.clone(), bytes: Vec::new(), body_bytes_max }
    }

    /// Takes the next piece of the body.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        take(&mut self.bytes, chunk, self.body_bytes_max)?;
        self.macs.iter_mut().for_each(|mac| mac.update(chunk));
        Ok(())
    }

    /// The body is complete: believes it or not.
    pub fn finish(self, now: Timestamp) -> Result<Proven<'d>, Refusal> {
        let macs = finalized(self.macs);
        let by = match self.claim {
            Claim::Signature(signature) => {
                let secrets = self.door.map_or(&[][..], |door| &door.secrets);
                let secret = opened(&macs, secrets, &signature);
                let door_is_known = self.door.is_some();
                let unproven = if door_is_known { Unauthentic::Wrong } else { Unauthentic::Channel };
                let secret = secret.ok_or(unproven)?;
                if !secret.is_active(now) {
                    return Err(Unauthentic::Expired.into());
                }
                ProvenBy::Secret(secret.label())
            }
            Claim::Unsigned => ProvenBy::Config,
        };
        let door = self.door.ok_or(Unauthentic::Channel)?;
        let body = Body { bytes: self.bytes, digest: macs[0] };
        Ok(Proven { door, body: Verified { proven: body }, by })
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

fn take(bytes: &mut Vec<u8>, chunk: &[u8], bytes_max: usize) -> Result<(), Refusal> {
    if chunk.len() > bytes_max - bytes.len() {
        return Err(Refusal::TooLarge);
    }
    bytes.extend_from_slice(chunk);
    Ok(())
}

fn finalized(macs: Vec<HmacSha256>) -> Vec<[u8; 32]> {
    macs.into_iter().map(|mac| mac.finalize().into_bytes().into()).collect()
}

/// The secret that a signature was made with. All are compared, decoys too, before anything is said: only a match can be
/// told from the time it takes.
fn opened<'s>(macs: &[[u8; 32]], secrets: &'s [Secret], signature: &Signature) -> Option<&'s Secret> {
    let equal: Vec<Choice> = macs.iter().map(|mac| mac.ct_eq(&signature.0)).collect();
    secrets.iter().zip(equal).fold(None, |found, (secret, equal)| found.or(bool::from(equal).then_some(secret)))
}

/// A body that a test believes.
#[cfg(test)]
pub(super) fn proven(bytes: &[u8]) -> Verified<Body> {
    Verified { proven: Body { bytes: bytes.to_vec(), digest: [0; 32] } }
}

#[cfg(test)]
mod tests {
    use super::super::tests::door;
    use super::super::{Doors, Head, Protocol};
    use super::*;

    const BODY: &str = r#"{"message":{"id":"m-1","type":"custom_text","body":"ack"},"conversation":{"id":"c-1"}}"#;
    const NOW: Timestamp = Timestamp::from_millis(1_795_317_120_000);
    const SIGNATURE: &str = "8af612fdf00ba7a1ea11cd480eb74a3a05b1bc2d92d7090e2041b2e61a7d676d";

    fn verify(door: Door, path: &str, body: &[u8], signature: &str) -> Result<Vec<u8>, Refusal> {
        let headers = [("host", "h".as_bytes()), ("x-hook-signature", signature.as_bytes())].into_iter().collect();
        let doors = Doors::new([door], 1000);
        let head = Head { protocol: Protocol::Http11, method: "POST", path, headers };
        let mut proving = doors.admit(&head)?;
        body.chunks(7).try_for_each(|chunk| proving.push(chunk))?;
        proving.finish(NOW).map(|proven| proven.body.get().bytes().to_vec())
    }

    #[test]
    fn what_missive_signs_is_believed() {
        let body = BODY.as_bytes();
        assert_eq!(verify(door("ops", &["s3cr3t"]), "/hooks/ops", body, SIGNATURE), Ok(body.to_vec()));
    }

    /// The cases of RFC 4231, but for the one that truncates; keys that aren't text don't come from a file.
    #[test]
    fn the_mac_is_the_one_of_rfc_4231() {
        let counting: Vec<u8> = (1..=25).collect();
        let long = b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be \
            hashed before being used by the HMAC algorithm.";
        let rows: [(Vec<u8>, &[u8], &str); 6] = [
            (vec![0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (vec![0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (counting, &[0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (vec![0xaa; 131], long, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
        ];
        for (key, body, signature) in rows {
            let secret = Secret { key, label: "rfc".into(), until: None };
            let door = Door { secrets: vec![secret], ..door("ops", &[]) };
            let cut = signature[..32].to_owned();
            assert_eq!(verify(door.clone(), "/hooks/ops", body, signature), Ok(body.to_vec()), "{signature}");
            assert_eq!(
                verify(door, "/hooks/ops", body, &cut),
                Err(Unauthentic::Malformed.into()),
                "truncated {signature}"
            );
        }
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
        for bit in 0..8 * BODY.len() {
            let mut body = BODY.as_bytes().to_vec();
            body[bit / 8] ^= 1 << (bit % 8);
            let refused = verify(door("ops", &["s3cr3t"]), "/hooks/ops", &body, SIGNATURE);
            assert_eq!(refused, Err(Unauthentic::Wrong.into()), "bit {bit}");
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
        let mut proving = Proving::unsigned_by_config(&open, &Locks::new(&[], 1), 10);
        assert_eq!(proving.push(&[b'x'; 10]), Ok(()));
        assert_eq!(proving.push(&[]), Ok(()));
        assert_eq!(proving.push(b"x"), Err(Refusal::TooLarge));
    }
}
