use std::{env, fs, io, path::Path, process::Command};

/// A part of the README that a program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What it costs to read a message, beside others: by `sansip-peers`.
    Reading,
    /// All other costs: by `report`.
    Report,
}

impl Section {
    /// Puts a text where the section stands in the README.
    pub fn write(self, text: &str) -> io::Result<()> {
        let name = match self {
            Self::Reading => "reading",
            Self::Report => "report",
        };
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let readme = fs::read_to_string(&path)?;
        let lost = || io::Error::other(format!("README.md has no section {name}"));
        let (before, rest) = readme.split_once(&begin).ok_or_else(lost)?;
        let (_, after) = rest.split_once(&end).ok_or_else(lost)?;
        fs::write(path, format!("{before}{begin}{text}{end}{after}"))
    }
}

/// Returns the day, and what the machine is.
pub fn machine() -> String {
    let output = Command::new("date").arg("+%Y-%m-%d").output();
    let date = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let date = date.map_or_else(|| "an unknown day".into(), |text| text.trim().to_owned());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model);
    format!("{date} on {} {} with {cpus} cores, {model}", env::consts::OS, env::consts::ARCH)
}

/// Writes a number with commas between its thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}
