//! Questions to the person at the terminal, asked there even when standard input and output are redirected.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Asks for a password, which does not show.
pub(super) fn password(question: &str) -> io::Result<Zeroizing<String>> {
    password_on(&terminal()?, question)
}

/// Asks a question; only `yes` is yes.
pub(super) fn confirm(question: &str) -> io::Result<bool> {
    let terminal = terminal()?;
    (&terminal).write_all(format!("{question} (yes/no) ").as_bytes())?;
    Ok(line(&terminal)?.as_str() == "yes")
}

fn terminal() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

fn password_on(mut terminal: &File, question: &str) -> io::Result<Zeroizing<String>> {
    terminal.write_all(question.as_bytes())?;
    let silence = Silence::on(terminal)?;
    let password = line(terminal);
    drop(silence);
    terminal.write_all(b"\n")?;
    password
}

/// A line without its end. Read byte by byte: what comes after it belongs to somebody else.
fn line(mut terminal: &File) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut byte = [0];
    while terminal.read(&mut byte)? == 1 && byte != *b"\n" {
        if line.len() == LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the line is too long"));
        }
        line.extend(byte);
    }
    match std::str::from_utf8(&line) {
        Ok(text) => Ok(Zeroizing::new(text.trim_end_matches('\r').to_owned())),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

/// Keeps the terminal from showing what is typed until it is dropped.
struct Silence<'terminal> {
    terminal: &'terminal File,
    before: Termios,
}

impl<'terminal> Silence<'terminal> {
    fn on(terminal: &'terminal File) -> io::Result<Self> {
        let before = tcgetattr(terminal.as_fd())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(terminal.as_fd(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no mending.
        let _ = tcsetattr(self.terminal.as_fd(), SetArg::TCSANOW, &self.before);
    }
}

/// The longest line that a terminal gives (termios(3), canonical mode).
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use std::thread;

    use nix::pty::openpty;

    use super::*;

    #[test]
    fn a_password_is_read_and_not_shown() {
        let pty = openpty(None, None).unwrap();
        let (mut screen, terminal) = (File::from(pty.master), File::from(pty.slave));
        let asking = thread::spawn(move || {
            let password = password_on(&terminal, "Password: ").unwrap();
            let echo_again = tcgetattr(terminal.as_fd()).unwrap().local_flags.contains(LocalFlags::ECHO);
            (password, echo_again)
        });
        let mut seen = Vec::new();
        let mut piece = [0; 64];
        while !seen.ends_with(b"Password: ") {
            let length = screen.read(&mut piece).unwrap();
            seen.extend(&piece[..length]);
        }
        // Typed before the terminal is silent it would be flushed, as it must be: type again until it is taken.
        while !asking.is_finished() {
            let silent = !tcgetattr(screen.as_fd()).unwrap().local_flags.contains(LocalFlags::ECHO);
            if silent {
                screen.write_all(b"hush hush\n").unwrap();
                break;
            }
            thread::yield_now();
        }
        let (password, echo_again) = asking.join().unwrap();
        assert_eq!(*password, "hush hush");
        assert!(echo_again);
        let length = screen.read(&mut piece).unwrap();
        assert!(!String::from_utf8_lossy(&piece[..length]).contains("hush"));
    }
}
