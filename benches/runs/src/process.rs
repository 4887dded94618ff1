//! What a process has used, from `/proc`.

use std::{fs, io, time::Duration};

/// What a process has used until now.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Resident memory, in bytes.
    pub(crate) resident: u64,
    /// The most resident memory it ever had, in bytes.
    pub(crate) peak: u64,
}

impl Used {
    /// Of the process with this id.
    ///
    /// # Errors
    /// When there is none, or the system has no `/proc`.
    pub(crate) fn by(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may hold spaces; utime and stime are the 12th and 13th behind it.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            number.unwrap_or(0) * 1024
        };
        Ok(Self {
            // Linux counts in hundredths of a second for user space, whatever the kernel does.
            cpu: Duration::from_millis(ticks * 10),
            resident: kib("VmRSS:"),
            peak: kib("VmHWM:"),
        })
    }
}
