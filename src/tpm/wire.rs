//! Wire form of the few commands of a TPM 2.0 that a counter takes, and of their answers.
//!
//! By the TPM 2.0 Library Specification, part 3 (commands: 31.3 `NV_DefineSpace`, 31.4 `NV_UndefineSpace`, 31.6
//! `NV_ReadPublic`, 31.8 `NV_Increment`, 31.13 `NV_Read`) and part 2 (structures). Numbers are big-endian. Whoever is
//! authorized is so by an empty password.

use std::fmt;

use super::{CounterMark, NvIndex};

/// What a TPM is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// What kind of index it is.
    ReadPublic,
    /// The counter's value.
    Read,
    Increment,
    Define(CounterMark),
    Undefine,
}

impl Command {
    /// By its name in the specification.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ReadPublic => "TPM2_NV_ReadPublic",
            Self::Read => "TPM2_NV_Read",
            Self::Increment => "TPM2_NV_Increment",
            Self::Define(_) => "TPM2_NV_DefineSpace",
            Self::Undefine => "TPM2_NV_UndefineSpace",
        }
    }

    pub(super) fn bytes(self, index: NvIndex) -> Vec<u8> {
        let NvIndex(index) = index;
        let (code, handles, parameters): (u32, &[u32], Vec<u8>) = match self {
            Self::ReadPublic => (0x169, &[index], Vec::new()),
            Self::Read => (0x14E, &[index, index], [VALUE_BYTES.to_be_bytes(), [0; 2]].concat()),
            Self::Increment => (0x134, &[index, index], Vec::new()),
            Self::Define(mark) => (0x12A, &[OWNER], definition(index, mark)),
            Self::Undefine => (0x122, &[OWNER, index], Vec::new()),
        };
        let mut body = Vec::new();
        handles.iter().for_each(|handle| body.extend(handle.to_be_bytes()));
        if self.has_session() {
            body.extend(EMPTY_PASSWORD);
        }
        body.extend(parameters);
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(HEADER_BYTES);
        [&self.tag().to_be_bytes()[..], &length.to_be_bytes(), &code.to_be_bytes(), &body].concat()
    }

    fn has_session(self) -> bool {
        match self {
            Self::ReadPublic => false,
            Self::Read | Self::Increment | Self::Define(_) | Self::Undefine => true,
        }
    }

    fn tag(self) -> u16 {
        if self.has_session() { SESSIONS } else { NO_SESSIONS }
    }

    /// The parameters of an answer that says that it was done.
    pub(super) fn parameters(self, answer: &[u8]) -> Result<&[u8], Unfit> {
        let mut answer = Reader(answer);
        let (tag, length, code) = (answer.u16()?, answer.u32()?, answer.u32()?);
        let Reader(rest) = answer;
        if usize::try_from(length.saturating_sub(HEADER_BYTES)) != Ok(rest.len()) {
            return Err(Unfit::Form("its length is another one than it says"));
        }
        if code != 0 {
            return Err(Unfit::Refused(ResponseCode(code)));
        }
        if tag != self.tag() {
            return Err(Unfit::Form("it is one to another command"));
        }
        if !self.has_session() {
            return Ok(rest);
        }
        let mut rest = Reader(rest);
        let length = rest.u32()?;
        let parameters = rest.bytes(usize::try_from(length).unwrap_or(usize::MAX))?;
        // An empty nonce, the session's attributes, an empty acknowledgement.
        match rest {
            Reader([0, 0, _, 0, 0]) => Ok(parameters),
            Reader(_) => Err(Unfit::Form("it ends with a session of another kind")),
        }
    }
}

/// What an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Public {
    pub(super) mark: CounterMark,
    pub(super) is_written: bool,
}

impl Public {
    /// Out of the answer to [`Command::ReadPublic`]: only of a counter as [`Command::Define`] makes it.
    pub(super) fn parse(parameters: &[u8], index: NvIndex) -> Result<Self, Unfit> {
        let mut parameters = Reader(parameters);
        let mut public = parameters.sized()?;
        let _name = parameters.sized()?;
        let (found, name_algorithm, attributes) = (public.u32()?, public.u16()?, public.u32()?);
        let Reader(policy) = public.sized()?;
        let data_length = public.u16()?;
        if !parameters.is_at_end() || !public.is_at_end() || found != index.0 {
            return Err(Unfit::Form("it is about something else"));
        }
        if attributes & ATTRIBUTE_TYPE != ATTRIBUTE_COUNTER {
            return Err(Unfit::OtherKind("it is no counter"));
        }
        if attributes & !ATTRIBUTE_WRITTEN != ATTRIBUTES {
            return Err(Unfit::OtherKind("it is a counter with other attributes"));
        }
        let mark = policy.try_into().map(CounterMark);
        let mark = mark.map_err(|_| Unfit::OtherKind("it is a counter without a ledger's mark"))?;
        if name_algorithm != SHA_256 || data_length != VALUE_BYTES {
            return Err(Unfit::OtherKind("it is a counter of another form"));
        }
        Ok(Self { mark, is_written: attributes & ATTRIBUTE_WRITTEN != 0 })
    }
}

/// The counter's value, out of the answer to [`Command::Read`].
pub(super) fn value(parameters: &[u8]) -> Result<u64, Unfit> {
    let mut parameters = Reader(parameters);
    let Reader(value) = parameters.sized()?;
    let value = value.try_into().map_err(|_| Unfit::Form("its value is no 64-bit number"))?;
    if parameters.is_at_end() { Ok(u64::from_be_bytes(value)) } else { Err(Unfit::Form(TOO_LONG)) }
}

/// That there are none.
pub(super) fn nothing(parameters: &[u8]) -> Result<(), Unfit> {
    if parameters.is_empty() { Ok(()) } else { Err(Unfit::Form(TOO_LONG)) }
}

/// Why an answer is not the one that was hoped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is none that the specification has.
    Form(&'static str),
    Refused(ResponseCode),
    /// The index is there, and is not one of ours.
    OtherKind(&'static str),
}

/// A TPM's word for what is wrong (part 2, 6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseCode(u32);

impl ResponseCode {
    /// The error, without the layer that found it and the place of the handle or parameter that it is about.
    fn error(self) -> u32 {
        let code = self.0 & 0xFFFF;
        if code & FORMAT_ONE == 0 { code } else { code & 0xBF }
    }

    /// There is no such index.
    pub(super) fn is_undefined(self) -> bool {
        self.error() == 0x8B
    }

    /// Who asks has no right to it.
    pub(super) fn is_authorization(self) -> bool {
        matches!(self.error(), 0x8E | 0xA2 | 0x12F)
    }

    /// The same command may be done a little later, and was not done now.
    pub(super) fn is_passing(self) -> bool {
        matches!(self.error(), 0x908 | 0x90A | 0x920 | 0x922 | 0x923)
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.error() {
            0x85 => "the owner's hierarchy is switched off",
            0x8B => "no such handle",
            0x8E => "an authorization failed",
            0xA2 => "a password is wrong",
            0x100 => "it was not started",
            0x101 => "it has failed and works no more until a reset",
            0x12F => "no password is taken here",
            0x143 => "the command is not known or not allowed",
            0x148 | 0x149 => "the index is locked, or not for this use",
            0x14A => "the counter was never incremented",
            0x14B => "there is no room for another index",
            0x14C => "the index exists",
            0x908 | 0x922 => "it is busy",
            0x909 => "it was told to give up",
            0x90A => "it tests itself",
            0x920 => "its memory is written to too often",
            0x921 => "it is locked after wrong passwords",
            0x923 => "its memory cannot be written to now",
            _ => "an error without a word of ours",
        };
        write!(f, "{words} (0x{:X})", self.0)
    }
}

/// Parameters of `NV_DefineSpace`: an empty password, and what the index is.
fn definition(index: u32, CounterMark(mark): CounterMark) -> Vec<u8> {
    let mark_length = u16::try_from(mark.len()).unwrap_or(u16::MAX).to_be_bytes();
    let public = [
        &index.to_be_bytes()[..],
        &SHA_256.to_be_bytes(),
        &ATTRIBUTES.to_be_bytes(),
        &mark_length,
        &mark,
        &VALUE_BYTES.to_be_bytes(),
    ]
    .concat();
    let length = u16::try_from(public.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[0; 2][..], &length, &public].concat()
}

/// What is left of an answer.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn u16(&mut self) -> Result<u16, Unfit> {
        self.chunk().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Unfit> {
        self.chunk().map(u32::from_be_bytes)
    }

    /// What stands behind its length.
    fn sized(&mut self) -> Result<Self, Unfit> {
        let length = self.u16()?;
        self.bytes(length.into()).map(Self)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Unfit> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Unfit::Form(TOO_SHORT))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Unfit> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Unfit::Form(TOO_SHORT))?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

const TOO_SHORT: &str = "it ends early";
const TOO_LONG: &str = "it goes on where it should end";

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
pub(super) const HEADER_BYTES: u32 = 10;
/// The owner hierarchy.
const OWNER: u32 = 0x4000_0001;
/// An authorization area: its length, `TPM_RS_PW`, no nonce, no attributes, no password.
const EMPTY_PASSWORD: [u8; 13] = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];
const SHA_256: u16 = 0x000B;
const VALUE_BYTES: u16 = 8;
/// Set in codes that name a handle, a session or a parameter.
const FORMAT_ONE: u32 = 0x80;

const ATTRIBUTE_TYPE: u32 = 0xF0;
const ATTRIBUTE_COUNTER: u32 = 0x10;
const ATTRIBUTE_WRITTEN: u32 = 1 << 29;
/// A counter that its own, empty password reads (bit 18) and increments (bit 2), and that no wrong password locks (bit
/// 25, `NO_DA`). Not kept in memory (bit 26, `ORDERLY`): a power cut would make it jump.
const ATTRIBUTES: u32 = ATTRIBUTE_COUNTER | 1 << 2 | 1 << 18 | 1 << 25;

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: NvIndex = NvIndex(0x0180_0B15);

    /// Sent by tpm2-tools 5.4 to swtpm 0.7, but for the mark, which they give as a policy's digest (`-L`).
    #[test]
    fn commands_are_those_of_tpm2_tools() {
        for (command, sent) in [
            (Command::ReadPublic, "80010000000e00000169 01800b15"),
            (
                Command::Read,
                "80020000002300 00014e 01800b15 01800b15 00000009 40000009 0000 00 0000 0008 0000",
            ),
            (Command::Increment, "80020000001f00000134 01800b15 01800b15 00000009 40000009 0000 00 0000"),
            (Command::Undefine, "80020000001f00000122 40000001 01800b15 00000009 40000009 0000 00 0000"),
        ] {
            assert_eq!(command.bytes(INDEX), bytes(sent), "{command:?}");
        }
        let mark = "11".repeat(32);
        let defined = format!(
            "80020000004d0000012a 40000001 00000009 40000009 0000 00 0000 0000 002e 01800b15 000b 02040014 0020 {mark} \
             0008"
        );
        assert_eq!(Command::Define(CounterMark([0x11; 32])).bytes(INDEX), bytes(&defined));
    }

    #[test]
    fn an_answer_is_read_to_its_end_or_refused() {
        let value_of = |answer: &str| {
            let answer = bytes(answer);
            Command::Read.parameters(&answer).and_then(value)
        };
        let good = "80020000001d00000000 0000000a 0008 000000000000002a 0000 01 0000";
        assert_eq!(value_of(good), Ok(42));
        let whole = bytes(good);
        for length in 0..whole.len() {
            assert!(matches!(Command::Read.parameters(&whole[..length]), Err(Unfit::Form(_))), "{length}");
        }
        for wrong in [
            "80020000001e00000000 0000000a 0008 000000000000002a 0000 01 0000 00",
            "80010000001d00000000 0000000a 0008 000000000000002a 0000 01 0000",
            "80020000001d00000000 ffffffff 0008 000000000000002a 0000 01 0000",
            "80020000001d00000000 00000009 0007 0000000000002a 00 0000 01 0000",
            "80020000001d00000000 0000000a 0007 000000000000002a 0000 01 0000",
            "80020000001f00000000 0000000a 0008 000000000000002a 0002 abcd 01 0000",
        ] {
            assert!(matches!(value_of(wrong), Err(Unfit::Form(_))), "{wrong}");
        }
    }

    #[test]
    fn only_a_counter_as_ours_is_taken_for_one() {
        let public = |attributes: &str, policy: &str| {
            let name = format!("0022 000b {}", "77".repeat(32));
            let length = 12 + bytes(policy).len();
            let text = format!("{length:04x} 01800b15 000b {attributes} {policy} 0008 {name}");
            Public::parse(&bytes(&text), INDEX)
        };
        let mark = format!("0020 {}", "22".repeat(32));
        let of = |is_written| Ok(Public { mark: CounterMark([0x22; 32]), is_written });
        assert_eq!(public("02040014", &mark), of(false));
        assert_eq!(public("22040014", &mark), of(true));
        for (attributes, policy) in [
            ("02040004", mark.as_str()), // Ordinary.
            ("22060014", &mark),         // The owner may read it.
            ("26040014", &mark),         // Kept in memory.
            ("20040014", &mark),         // Wrong passwords lock it.
            ("22040014", "0000"),
        ] {
            assert!(matches!(public(attributes, policy), Err(Unfit::OtherKind(_))), "{attributes} {policy}");
        }
        let other = Public::parse(&bytes(&format!("002e 01800b16 000b 02040014 {mark} 0008 0000")), INDEX);
        assert!(matches!(other, Err(Unfit::Form(_))));
    }

    #[test]
    fn a_refusal_is_told_by_its_code_wherever_it_was_found() {
        let code = |code: u32| ResponseCode(code);
        assert!(code(0x18B).is_undefined() && code(0x28B).is_undefined() && code(0xB_018B).is_undefined());
        assert!(code(0x98E).is_authorization() && code(0x9A2).is_authorization());
        assert!(!code(0x14C).is_passing());
        for passing in [0x908, 0x90A, 0x920, 0x922, 0x923] {
            assert!(code(passing).is_passing(), "{passing:X}");
        }
        assert!(!code(0x921).is_passing());
        assert_eq!(code(0x18B).to_string(), "no such handle (0x18B)");
        let answer = bytes("80010000000a0000018b");
        assert_eq!(Command::Read.parameters(&answer), Err(Unfit::Refused(code(0x18B))));
    }

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        const_hex::decode(hexadecimal.replace(' ', "")).unwrap()
    }
}
