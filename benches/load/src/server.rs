//! The server under load: a process of its own, measured from outside.

use std::{error::Error, fs, path::PathBuf, process::Stdio, time::Duration};

use runwire::client::Client;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// Kernel clock ticks a second: `getconf CLK_TCK` on every Linux that the server is built for.
const TICKS_A_SECOND: f64 = 100.0;

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pid: u32,
    url: String,
}

/// What the server has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Processor time of user and system.
    pub cpu: Duration,
    /// Resident memory now.
    pub resident_bytes: u64,
}

impl Server {
    /// Starts a server on a free port of the loopback interface, with a window for every call at once.
    pub async fn start(binary: &str) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("RUNWIRE__TOOLS__MAX_WINDOW", "65536")
            .env("RUNWIRE__LOG__FILTER", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or("the server has ended at once")?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no stderr")?).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix("runwire listening on ") {
                    return Ok::<_, Box<dyn Error>>(format!("http://{address}"));
                }
            }
            Err("the server ended before it listened".into())
        };
        let url = timeout(Duration::from_secs(30), ready).await??;
        // Its log goes on being read: a full pipe would stop the server.
        tokio::spawn(async move { while let Ok(Some(_line)) = lines.next_line().await {} });
        Ok(Self { child, pid, url })
    }

    /// A client of it.
    pub fn client(&self) -> Result<Client, Box<dyn Error>> {
        Ok(Client::connect(&self.url)?)
    }

    /// What it has used so far.
    pub fn usage(&self) -> Result<Usage, Box<dyn Error>> {
        let process = PathBuf::from(format!("/proc/{}", self.pid));
        let stat = fs::read_to_string(process.join("stat"))?;
        // The second field is the command's name in parentheses, and may hold anything.
        let (_, fields) = stat.rsplit_once(')').ok_or("no process state")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |field: usize| {
            fields
                .get(field)
                .and_then(|f| f.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        let status = fs::read_to_string(process.join("status"))?;
        let resident_kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(0);
        Ok(Usage {
            cpu: Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS_A_SECOND),
            resident_bytes: resident_kib * 1024,
        })
    }

    /// Asks it to end, and waits.
    pub async fn stop(mut self) -> Result<(), Box<dyn Error>> {
        self.child.start_kill()?;
        self.child.wait().await?;
        Ok(())
    }
}
