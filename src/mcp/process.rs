//! A server that is a process of ours: started with an environment of its own, spoken to through bounded
//! pipes, and ended with all that it has started.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    process::Stdio,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::domain::secret::Secret;

/// How long a server may take to end once its input has ended, and again once it was told to.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a server is started. The operator alone says so.
#[derive(Clone, Debug)]
pub struct Program {
    /// A program on the path of its environment, or a path.
    pub command: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// All that it finds in its environment.
    pub environment: Vec<(String, Secret)>,
    /// Where it works; `None`: where we do.
    pub working_dir: Option<PathBuf>,
}

/// A process with all that it starts. Dropped, they are killed.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// The process group, which is named after its first process; `None` when that is known to be gone.
    group: Option<Pid>,
}

/// The ends of its pipes that are ours.
pub(super) type Pipes = (Lines<ChildStdout>, ChildStdin);

impl Process {
    /// Starts a program. A line of its output that is longer than `longest` ends the output. What it says
    /// on standard error is read, and counted in the log.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn start(
        program: &Program,
        longest: usize,
        server: &Arc<str>,
        tracker: &TaskTracker,
    ) -> io::Result<(Self, Pipes)> {
        let mut command = Command::new(&program.command);
        command
            .args(&program.args)
            .env_clear()
            .envs(program.environment.iter().map(|(k, v)| (k, v.expose())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(directory) = &program.working_dir {
            command.current_dir(directory);
        }
        let mut child = command.spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = id.and_then(Pid::from_raw);
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Self { child, group };
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(io::Error::other("a pipe is missing"));
        };
        // Ends with the process, which holds the other end.
        tracker.spawn(listen(stderr, Arc::clone(server)));
        Ok((process, (Lines::new(stdout, longest), stdin)))
    }

    /// Ends a process whose input has ended: waits, asks, kills. Bounded.
    pub(super) async fn end(mut self) {
        if timeout(FAREWELL, self.child.wait()).await.is_err() {
            self.signal(Signal::TERM);
            let _ended = timeout(FAREWELL, self.child.wait()).await;
        }
        // What it has started may live on.
        self.signal(Signal::KILL);
        self.group = None;
        let _reaped = timeout(FAREWELL, self.child.wait()).await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // Nobody is left to hear it.
            let _gone = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Reads what a server says to people. It may hold anything, so the log has only how much it was.
async fn listen(mut stderr: ChildStderr, server: Arc<str>) {
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(bytes) = stderr.read(&mut buffer).await {
        if bytes == 0 {
            return;
        }
        tracing::debug!(mcp.server = %server, bytes, "an MCP server wrote to its standard error");
    }
}

/// Passes lines on, until one is too long.
///
/// The SDK drops such a line, and whoever waits for the answer in it would wait in vain.
#[derive(Debug)]
pub(super) struct Lines<R> {
    inner: R,
    longest: usize,
    /// The length of the present line so far.
    length: usize,
}

impl<R> Lines<R> {
    const fn new(inner: R, longest: usize) -> Self {
        Self {
            inner,
            longest,
            length: 0,
        }
    }

    /// Takes what was read; whether no line in it has become too long.
    fn pass(&mut self, read: &[u8]) -> bool {
        for piece in read.split_inclusive(|byte| *byte == b'\n') {
            self.length = self.length.saturating_add(piece.len());
            if self.length > self.longest {
                return false;
            }
            if piece.ends_with(b"\n") {
                self.length = 0;
            }
        }
        true
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Lines<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        Poll::Ready(if self.pass(read) {
            Ok(())
        } else {
            Err(io::Error::other("a message is too long"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&str], longest: usize, expected: bool) {
        let mut lines = Lines::new((), longest);
        let passes = pieces.iter().all(|piece| lines.pass(piece.as_bytes()));
        assert_eq!(passes, expected, "{pieces:?}");
    }

    #[test]
    fn a_line_is_bounded_however_it_is_cut() {
        check(&["four\n", "four\n"], 5, true);
        check(&["fo", "ur", "\n", "four\n"], 5, true);
        check(&["four\nfour\n"], 5, true);
        check(&["five!\n"], 5, false);
        check(&["fi", "ve", "!!"], 5, false);
        check(&["four\nfive!!"], 5, false);
    }
}
