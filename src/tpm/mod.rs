//! Counter in the non-volatile memory of a TPM 2.0: a number that only ever goes up, also when all disks are put back.
//!
//! Five commands, small byte strings (`wire`), go to the kernel's resource manager (`device`). No C library and no
//! session but the empty password takes part: what the counter says is no secret, and whoever may open the device can
//! raise it, which costs a start and no more.

mod device;
mod wire;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use self::device::{DeviceError, exchange};
pub(crate) use self::wire::ResponseCode;
use self::wire::{Command, Public, Unfit};

/// An index in the TPM's non-volatile memory, as 0x and eight hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NvIndex(u32);

impl FromStr for NvIndex {
    type Err = NoIndex;

    fn from_str(text: &str) -> Result<Self, NoIndex> {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).ok_or(NoIndex)?;
        let number = u32::from_str_radix(digits, 16).map_err(|_| NoIndex)?;
        if number & INDEX_TYPE_MASK == INDEX_TYPE { Ok(Self(number)) } else { Err(NoIndex) }
    }
}

impl fmt::Display for NvIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

/// It names no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no index of a TPM's memory: name one from 0x01800000 to 0x01bfffff, which are the owner's")]
pub(crate) struct NoIndex;

/// What a counter carries from when it is made: the ledger that it is for, and what tells it from one that was there
/// before. (It stands where the digest of a policy would, of a policy that nothing asks for.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CounterMark(pub(crate) [u8; 32]);

/// A counter, by where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NvCounter {
    /// The kernel's resource manager, or an emulator's socket.
    pub(crate) device: PathBuf,
    pub(crate) index: NvIndex,
}

/// What a counter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) mark: CounterMark,
    /// None before it is incremented for the first time.
    pub(crate) value: Option<u64>,
}

impl NvCounter {
    /// What it says; none if there is no such index.
    pub(crate) fn read(&self, within: Duration) -> Result<Option<Reading>, TpmError> {
        let until = until(within);
        let public = match self.carry_out(Command::ReadPublic, until) {
            Ok(parameters) => self.fit(Command::ReadPublic, Public::parse(&parameters, self.index))?,
            Err(TpmError::Refused { code, .. }) if code.is_undefined() => return Ok(None),
            Err(error) => return Err(error),
        };
        let Public { mark, is_written } = public;
        let value = if is_written { Some(self.value(until)?) } else { None };
        Ok(Some(Reading { mark, value }))
    }

    /// Adds one, and says what it is then. Without an answer it may have been added or not.
    pub(crate) fn increment(&self, within: Duration) -> Result<u64, TpmError> {
        let until = until(within);
        let parameters = self.carry_out(Command::Increment, until)?;
        self.fit(Command::Increment, wire::nothing(&parameters))?;
        self.value(until)
    }

    /// Makes it, with the rights of the TPM's owner. It has no value before it is incremented.
    pub(crate) fn define(&self, mark: CounterMark, within: Duration) -> Result<(), TpmError> {
        self.as_owner(Command::Define(mark), within)
    }

    /// Takes it away, with the same rights. One that is made later begins above all that were.
    pub(crate) fn undefine(&self, within: Duration) -> Result<(), TpmError> {
        self.as_owner(Command::Undefine, within)
    }

    fn as_owner(&self, command: Command, within: Duration) -> Result<(), TpmError> {
        match self.carry_out(command, until(within)) {
            Ok(parameters) => self.fit(command, wire::nothing(&parameters)),
            Err(TpmError::Refused { code, .. }) if code.is_authorization() => {
                Err(TpmError::Owner { device: self.device.clone(), code })
            }
            Err(error) => Err(error),
        }
    }

    fn value(&self, until: Instant) -> Result<u64, TpmError> {
        let parameters = self.carry_out(Command::Read, until)?;
        self.fit(Command::Read, wire::value(&parameters))
    }

    /// The parameters of the answer. A TPM that is busy is asked again.
    fn carry_out(&self, command: Command, until: Instant) -> Result<Vec<u8>, TpmError> {
        loop {
            let answered = exchange(&self.device, &command.bytes(self.index), until);
            let answer = match answered {
                Ok(answer) => answer,
                // Another program has the device itself, or the emulator's queue is full.
                Err(DeviceError::Open(error)) if is_busy(&error) && Instant::now() < until => {
                    thread::sleep(PAUSE);
                    continue;
                }
                Err(error) => return Err(self.failed(error)),
            };
            match command.parameters(&answer) {
                Ok(parameters) => return Ok(parameters.to_vec()),
                Err(Unfit::Refused(code)) if code.is_passing() && Instant::now() < until => {
                    thread::sleep(PAUSE);
                }
                Err(unfit) => return self.fit(command, Err(unfit)),
            }
        }
    }

    fn fit<T>(&self, command: Command, read: Result<T, Unfit>) -> Result<T, TpmError> {
        let (device, index) = (self.device.clone(), self.index);
        read.map_err(|unfit| match unfit {
            Unfit::Form(reason) => TpmError::Answer { device, command: command.name(), reason },
            Unfit::Refused(code) => TpmError::Refused { device, command: command.name(), code },
            Unfit::OtherKind(reason) => TpmError::OtherKind { device, index, reason },
        })
    }

    fn failed(&self, error: DeviceError) -> TpmError {
        let device = self.device.clone();
        match error {
            DeviceError::Open(source) => match source.kind() {
                io::ErrorKind::NotFound => TpmError::NoDevice { device },
                io::ErrorKind::PermissionDenied => TpmError::NotPermitted { device, source },
                _ => TpmError::Open { device, source },
            },
            DeviceError::Io(source) => TpmError::Io { device, source },
            DeviceError::Silent => TpmError::Silent { device },
        }
    }
}

impl fmt::Display for NvCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the counter at {} of the TPM at {}", self.index, self.device.display())
    }
}

/// Why a TPM did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TpmError {
    #[error("there is no TPM at {} (tpm_device): is it switched on in the firmware?", device.display())]
    NoDevice { device: PathBuf },
    #[error(
        "the TPM at {} may not be used: its group (tss) has to be one of this process's, and the service needs the \
         drop-in tpm-counter.conf",
        device.display()
    )]
    NotPermitted { device: PathBuf, source: io::Error },
    #[error("the TPM at {} cannot be opened", device.display())]
    Open { device: PathBuf, source: io::Error },
    #[error("the TPM at {} cannot be asked", device.display())]
    Io { device: PathBuf, source: io::Error },
    #[error("the TPM at {} does not answer in time", device.display())]
    Silent { device: PathBuf },
    #[error("the TPM at {} gives an answer to {command} that cannot be read: {reason}", device.display())]
    Answer { device: PathBuf, command: &'static str, reason: &'static str },
    #[error("the TPM at {} refuses {command}: {code}", device.display())]
    Refused { device: PathBuf, command: &'static str, code: ResponseCode },
    #[error(
        "the TPM at {} lets only its owner, who has a password, make and take away a counter: {code}",
        device.display()
    )]
    Owner { device: PathBuf, code: ResponseCode },
    #[error(
        "{index} of the TPM at {} is of another program or another making ({reason}): name an index that is free \
         (tpm_counter)",
        device.display()
    )]
    OtherKind { device: PathBuf, index: NvIndex, reason: &'static str },
}

impl TpmError {
    /// Whether it stays so until somebody changes something.
    pub(crate) fn is_configuration(&self) -> bool {
        match self {
            Self::NoDevice { .. }
            | Self::NotPermitted { .. }
            | Self::Owner { .. }
            | Self::OtherKind { .. } => true,
            Self::Open { .. }
            | Self::Io { .. }
            | Self::Silent { .. }
            | Self::Answer { .. }
            | Self::Refused { .. } => false,
        }
    }
}

/// Reads bytes as an answer to each of the commands: what they say, or why they are none.
#[cfg(feature = "fuzz-internals")]
pub(crate) fn read_answer(bytes: &[u8]) -> Vec<Result<Option<u64>, TpmError>> {
    let counter = NvCounter { device: PathBuf::new(), index: NvIndex(INDEX_TYPE) };
    let mark = CounterMark([0; 32]);
    let commands =
        [Command::ReadPublic, Command::Read, Command::Increment, Command::Define(mark), Command::Undefine];
    let read = |command: Command| {
        let read = command.parameters(bytes).and_then(|parameters| match command {
            Command::ReadPublic => Public::parse(parameters, counter.index).map(|_| None),
            Command::Read => wire::value(parameters).map(Some),
            Command::Increment | Command::Define(_) | Command::Undefine => {
                wire::nothing(parameters).map(|()| None)
            }
        });
        counter.fit(command, read)
    };
    commands.into_iter().map(read).collect()
}

/// The group that may use a device, for a process that gives up root's rights.
pub(crate) fn group_of(device: &Path) -> Option<nix::unistd::Gid> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(device).ok()?;
    (metadata.mode() & 0o060 == 0o060).then(|| nix::unistd::Gid::from_raw(metadata.gid()))
}

fn until(within: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(within).unwrap_or(now)
}

fn is_busy(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::WouldBlock)
}

const INDEX_TYPE: u32 = 0x0100_0000;
const INDEX_TYPE_MASK: u32 = 0xFF00_0000;
/// Until a TPM that is busy is asked again.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
