//! A program of the operator's that prints keys.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::trouble::{Kind, Trouble};
use crate::value::{Item, items};

/// Runs it, without a shell, and reads what it prints. What it says on standard error goes to our own.
pub(crate) async fn read(command: &[String], timeout: Duration) -> Result<Vec<Item>, Trouble> {
    let command = command.to_owned();
    let run = spawn_blocking(move || run(&command, timeout));
    run.await.map_err(|error| {
        Trouble::new(Kind::Malformed, format!("the command cannot be waited for: {error}"))
    })?
}

fn run(command: &[String], timeout: Duration) -> Result<Vec<Item>, Trouble> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| Trouble::new(Kind::NotFound, "no command"))?;
    let failed = |error: &dyn std::fmt::Display| {
        Trouble::new(Kind::NotFound, format!("{program} cannot be run: {error}"))
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let output = match printed(&mut child, timeout) {
        Ok(output) => output,
        Err(trouble) => {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            return Err(Trouble { reason: format!("{program} {}", trouble.reason), ..trouble });
        }
    };
    let status = child.wait().map_err(|error| failed(&error))?;
    if !status.success() {
        return Err(Trouble::new(
            Kind::Malformed,
            format!("{program} failed ({status}): what it printed is not used"),
        ));
    }
    let text = std::str::from_utf8(&output)
        .map_err(|_| Trouble::new(Kind::Malformed, format!("{program} printed something else than text")))?;
    Ok(items(program, text))
}

/// All that it prints until it closes its output.
fn printed(child: &mut Child, timeout: Duration) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let mut stdout = child.stdout.take().ok_or_else(|| Trouble::new(Kind::Malformed, "has no output"))?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // Its room is taken at once: a buffer that grows leaves its old places unwiped.
        let mut output = Zeroizing::new(vec![0; LONGEST_OUTPUT_BYTES]);
        let mut length = 0_usize;
        let read = loop {
            match stdout.read(output.get_mut(length..).unwrap_or_default()) {
                Ok(0) => break Ok(()),
                Ok(count) => length = length.saturating_add(count),
                Err(error) => break Err(error),
            }
        };
        output.truncate(length);
        // Whoever waited may have given up.
        let _ = sender.send(read.map(|()| output));
    });
    match receiver.recv_timeout(timeout) {
        Ok(Ok(output)) if output.len() >= LONGEST_OUTPUT_BYTES => {
            Err(Trouble::new(Kind::TooLarge, format!("printed {LONGEST_OUTPUT_BYTES} bytes or more")))
        }
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(Trouble::new(Kind::Malformed, format!("cannot be read from: {error}"))),
        Err(_) => {
            let seconds = timeout.as_secs();
            Err(Trouble::new(
                Kind::Timeout,
                format!("did not end within {seconds} s (`timeout`) and was killed"),
            ))
        }
    }
}

/// Thirty thousand keys, or ten thousand keystores.
const LONGEST_OUTPUT_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Vec<Item>, Kind> {
        let command: Vec<_> = ["/bin/sh", "-c", script].map(str::to_owned).into();
        run(&command, Duration::from_secs(1)).map_err(|trouble| trouble.kind)
    }

    #[test]
    fn what_fails_hangs_or_prints_too_much_gives_nothing() {
        let digits = "12".repeat(32);
        assert_eq!(shell(&format!("echo {digits}")).map(|items| items.len()), Ok(1));
        assert_eq!(shell(&format!("echo {digits}; exit 3")), Err(Kind::Malformed));
        assert_eq!(shell("exec sleep 600"), Err(Kind::Timeout));
        assert_eq!(shell("exec head -c 20000000 /dev/zero"), Err(Kind::TooLarge));
        assert_eq!(
            run(&["/nonexistent".to_owned()], Duration::from_secs(1)).map_err(|trouble| trouble.kind),
            Err(Kind::NotFound)
        );
    }
}
