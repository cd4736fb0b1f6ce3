use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;
use sansip::{CloseHow, Instant, Proto};

use crate::{
    node::NodeId,
    text::{self, Start},
    trace::{Hop, Passage, Row, StreamEvent, Trace, What},
};

/// A trace as a diagram: nodes are columns, messages are arrows in the order in which they were sent.
///
/// [`Display`](fmt::Display) draws it with plain characters: `x` ends the arrow of a message that was lost, and the
/// right margin says what else is worth knowing: why it was lost, `copy` for the second arrival of one datagram,
/// `again` for one that was sent before with the same bytes, the transport for one on a stream.
#[derive(Clone, Debug)]
pub struct Ladder<'a> {
    trace: &'a Trace,
    names: Vec<&'a str>,
    only: Vec<String>,
    pair: Option<(NodeId, NodeId)>,
    last: usize,
    times: bool,
    delays: bool,
    connections: bool,
    by_arrival: bool,
}

impl<'a> Ladder<'a> {
    pub(crate) const fn new(trace: &'a Trace, names: Vec<&'a str>) -> Self {
        Self {
            trace,
            names,
            only: Vec::new(),
            pair: None,
            last: usize::MAX,
            times: true,
            delays: false,
            connections: false,
            by_arrival: false,
        }
    }

    /// Keeps requests of some methods and their responses, by the method in CSeq.
    #[must_use]
    pub fn only<M: Into<String>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.only = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Keeps what two nodes sent to each other.
    #[must_use]
    pub fn between(mut self, a: impl Into<NodeId>, b: impl Into<NodeId>) -> Self {
        self.pair = Some((a.into(), b.into()));
        self
    }

    /// Keeps the last rows.
    #[must_use]
    pub const fn last(mut self, rows: usize) -> Self {
        self.last = rows;
        self
    }

    /// Leaves the times out.
    #[must_use]
    pub const fn without_times(mut self) -> Self {
        self.times = false;
        self
    }

    /// Shows how long each message was on its way.
    #[must_use]
    pub const fn delays(mut self) -> Self {
        self.delays = true;
        self
    }

    /// Shows how connections begin and end.
    #[must_use]
    pub const fn connections(mut self) -> Self {
        self.connections = true;
        self
    }

    /// Puts messages in the order of their arrival, with the time of that.
    #[must_use]
    pub const fn by_arrival(mut self) -> Self {
        self.by_arrival = true;
        self
    }

    /// Returns the diagram as Mermaid's `sequenceDiagram`.
    pub fn mermaid(&self) -> String {
        let lines = self.lines();
        let mut out = String::from("sequenceDiagram\n");
        for node in columns(&lines) {
            out += &format!("    participant n{} as {}\n", node.0, self.names[node.index()]);
        }
        let Some(first) = columns(&lines).first().copied() else { return out };
        for line in &lines {
            out += &match line {
                Line::Arrow(arrow) => arrow.mermaid(),
                Line::Note(at, text) => format!("    Note over n{}: {at} {}\n", first.0, plain(text)),
            };
        }
        out
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = self.all_lines();
        lines.retain(|line| self.keeps(line));
        let skip = lines.len().saturating_sub(self.last);
        lines.split_off(skip)
    }

    /// Collects arrows and notes, in order.
    fn all_lines(&self) -> Vec<Line> {
        let mut lines: Vec<((Instant, usize), Line)> = Vec::new();
        let mut flying: BTreeMap<u64, usize> = BTreeMap::new();
        let mut sent: BTreeMap<u64, usize> = BTreeMap::new();
        let mut seen: BTreeSet<(SocketAddr, SocketAddr, Bytes)> = BTreeSet::new();
        for (order, Row { at, what }) in self.trace.rows().enumerate() {
            match what {
                What::Datagram { hop, passage: Passage::Sent } => {
                    let again = !seen.insert((hop.source, hop.target, hop.payload.clone()));
                    flying.insert(hop.number, lines.len());
                    sent.insert(hop.number, order);
                    lines.push(((*at, order), Line::Arrow(Arrow { again, ..Arrow::new(hop, End::Flying) })));
                }
                What::Datagram { hop, passage: Passage::Replaced } => {
                    if let Some((_, Line::Arrow(arrow))) =
                        flying.get(&hop.number).and_then(|line| lines.get_mut(*line))
                    {
                        arrow.label = text::label(&hop.payload);
                        arrow.replaced = true;
                    }
                }
                What::Datagram { hop, passage } => {
                    let end = End::of(*passage, *at);
                    let order =
                        if self.by_arrival { order } else { sent.get(&hop.number).copied().unwrap_or(order) };
                    let when = (if self.by_arrival { *at } else { hop.sent }, order);
                    // A row whose beginning was not kept makes an arrow of its own, as does a copy.
                    let line = flying.remove(&hop.number).and_then(|line| lines.get_mut(line));
                    match line {
                        Some((key, Line::Arrow(arrow))) => {
                            arrow.end = end;
                            *key = when;
                        }
                        _ => lines.push((when, Line::Arrow(Arrow::new(hop, end)))),
                    }
                }
                What::Stream { hop, event } => {
                    let arrows = Arrow::stream(hop, event).into_iter();
                    lines.extend(arrows.map(|arrow| ((*at, order), Line::Arrow(arrow))));
                }
                What::Note { text } => lines.push(((*at, order), Line::Note(*at, text.clone()))),
                _ => (),
            }
        }
        lines.sort_by_key(|(key, _)| *key);
        lines.into_iter().map(|(_, line)| line).collect()
    }

    fn keeps(&self, line: &Line) -> bool {
        let Line::Arrow(arrow) = line else { return self.only.is_empty() && self.pair.is_none() };
        if arrow.about_connection && !self.connections {
            return false;
        }
        let method = arrow.method.as_deref();
        let wanted =
            self.only.is_empty() || method.is_some_and(|method| self.only.iter().any(|m| m == method));
        let here =
            self.pair.is_none_or(|(a, b)| [(a, Some(b)), (b, Some(a))].contains(&(arrow.from, arrow.to)));
        wanted && here
    }
}

/// What one line shows.
#[derive(Clone, Debug)]
enum Line {
    Arrow(Arrow),
    Note(Instant, String),
}

#[derive(Clone, Debug)]
struct Arrow {
    from: NodeId,
    to: Option<NodeId>,
    target: SocketAddr,
    sent: Instant,
    end: End,
    label: String,
    /// The method of a request, or the one that a response answers.
    method: Option<String>,
    is_response: bool,
    again: bool,
    replaced: bool,
    /// The transport of one on a stream.
    stream: Option<Proto>,
    about_connection: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Flying,
    Arrived(Instant),
    Copy(Instant),
    Dropped(crate::trace::Why, Instant),
    Written,
}

impl End {
    const fn of(passage: Passage, at: Instant) -> Self {
        match passage {
            Passage::Delivered => Self::Arrived(at),
            Passage::Copied => Self::Copy(at),
            Passage::Dropped(why) => Self::Dropped(why, at),
            Passage::Sent | Passage::Replaced => Self::Flying,
        }
    }
}

impl Arrow {
    fn new(hop: &Hop, end: End) -> Self {
        let method = match text::start(&hop.payload) {
            Some(Start::Request { method, .. }) => Some(method.to_owned()),
            Some(Start::Response { .. }) => text::cseq(&hop.payload).map(|(_, method)| method),
            None => None,
        };
        Self {
            from: hop.from,
            to: hop.to,
            target: hop.target,
            sent: hop.sent,
            end,
            label: text::label(&hop.payload),
            method,
            is_response: matches!(text::start(&hop.payload), Some(Start::Response { .. })),
            again: false,
            replaced: false,
            stream: None,
            about_connection: false,
        }
    }

    /// Makes the arrows of what happens on a stream: one for each message that is written at once.
    fn stream(hop: &Hop, event: &StreamEvent) -> Vec<Self> {
        let base = |payload: Bytes| Self {
            stream: Some(hop.proto),
            ..Self::new(&Hop { payload, ..hop.clone() }, End::Written)
        };
        if *event == StreamEvent::Wrote {
            let mut rest = hop.payload.clone();
            let mut arrows = Vec::new();
            while let Some(length) = text::frame(&rest) {
                arrows.push(base(rest.split_to(length)));
            }
            if !rest.is_empty() || arrows.is_empty() {
                arrows.push(base(rest));
            }
            return arrows;
        }
        let label = match event {
            StreamEvent::Connecting => "connect".into(),
            StreamEvent::Closing(CloseHow::Flush) => "close".into(),
            StreamEvent::Closing(CloseHow::Reset) => "reset".into(),
            StreamEvent::Ended(Some(error)) => format!("ended: {error}"),
            StreamEvent::WroteSealed(bytes) => format!("{bytes} bytes"),
            StreamEvent::Secured => "open".into(),
            _ => return Vec::new(),
        };
        vec![Self { label, about_connection: true, ..base(Bytes::new()) }]
    }

    /// Returns what stands in the margin.
    fn margin(&self, delays: bool) -> String {
        let mut words = Vec::new();
        match self.end {
            End::Dropped(why, _) => words.push(why.to_string()),
            End::Copy(_) => words.push("copy".into()),
            End::Flying => words.push("on its way".into()),
            End::Arrived(_) | End::Written => (),
        }
        if self.to.is_none() {
            words.push(format!("to {}", self.target));
        }
        words.extend(self.stream.map(|proto| proto.to_string()));
        for (is, word) in [(self.again, "again"), (self.replaced, "replaced")] {
            if is {
                words.push(word.into());
            }
        }
        if let (true, End::Arrived(at) | End::Copy(at)) = (delays, self.end) {
            words.push(format!("+{}", short(at.since(self.sent))));
        }
        words.join(" ")
    }

    const fn time(&self, by_arrival: bool) -> Instant {
        match self.end {
            End::Arrived(at) | End::Copy(at) | End::Dropped(_, at) if by_arrival => at,
            _ => self.sent,
        }
    }

    fn mermaid(&self) -> String {
        let to = self.to.unwrap_or(self.from);
        let arrow = match self.end {
            End::Dropped(..) => "-x",
            _ if self.is_response => "-->>",
            _ => "->>",
        };
        let margin = self.margin(false);
        let margin = if margin.is_empty() { margin } else { format!(" [{margin}]") };
        format!("    n{}{arrow}n{}: {}{}\n", self.from.0, to.0, plain(&self.label), plain(&margin))
    }
}

/// Draws with characters.
impl fmt::Display for Ladder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let columns = columns(&lines);
        let grid = Grid::new(&columns, &self.names, &lines, self.times);
        writeln!(f, "{}", grid.header(&columns, &self.names))?;
        for line in &lines {
            match line {
                Line::Arrow(arrow) => {
                    let drawn = grid.arrow(arrow, &columns);
                    let margin = arrow.margin(self.delays);
                    let time = grid.time(arrow.time(self.by_arrival));
                    writeln!(f, "{}", format!("{time}{drawn}  {margin}").trim_end())?;
                }
                Line::Note(at, text) => writeln!(f, "{}", format!("{}* {text}", grid.time(*at)).trim_end())?,
            }
        }
        Ok(())
    }
}

/// Where the columns stand.
struct Grid {
    times: bool,
    /// The position of the first line of life, and the distance to the next.
    first: usize,
    gap: usize,
    width: usize,
}

impl Grid {
    /// The columns of a terminal that a diagram of few nodes fits in, with its times and most margins.
    const WIDTH: usize = 96;

    fn new(columns: &[NodeId], names: &[&str], lines: &[Line], times: bool) -> Self {
        let name = |node: &NodeId| names[node.index()].chars().count();
        let spans = columns.len().saturating_sub(1).max(1);
        let mut gap = columns.iter().map(name).max().unwrap_or(0) + 2;
        for line in lines {
            let Line::Arrow(arrow) = line else { continue };
            let ends = arrow.ends(columns);
            let needs = arrow.label.chars().count() + arrow.ink() + 1;
            gap = gap.max(needs.div_ceil(ends.1.abs_diff(ends.0).max(1)));
        }
        let gap = gap.clamp(12, (Self::WIDTH / spans).max(12));
        let first = columns.first().map_or(0, |node| name(node).div_ceil(2));
        Self { times, first, gap, width: first + gap * columns.len().saturating_sub(1) + 1 }
    }

    fn header(&self, columns: &[NodeId], names: &[&str]) -> String {
        let mut row = vec![' '; self.width];
        for (column, node) in columns.iter().enumerate() {
            let name: Vec<char> = names[node.index()].chars().take(self.gap - 1).collect();
            let start = self.at(column).saturating_sub(name.len() / 2);
            put(&mut row, start, &name);
        }
        let time = if self.times { " ".repeat(10) } else { String::new() };
        format!("{time}{}", row.into_iter().collect::<String>()).trim_end().to_owned()
    }

    fn time(&self, at: Instant) -> String {
        if self.times { format!("{at:>8}  ", at = at.to_string()) } else { String::new() }
    }

    fn arrow(&self, arrow: &Arrow, columns: &[NodeId]) -> String {
        let mut row = vec![' '; self.width];
        (0..columns.len()).for_each(|column| row[self.at(column)] = '|');
        let (from, to) = arrow.ends(columns);
        let lost = matches!(arrow.end, End::Dropped(..));
        if from == to {
            let label: Vec<char> =
                format!("{} {} ", if lost { "x" } else { "<-" }, arrow.label).chars().collect();
            put(&mut row, self.at(from) + 1, &label);
            return row.into_iter().collect();
        }
        let (left, right) = (self.at(from.min(to)) + 1, self.at(from.max(to)));
        let (head, rightwards) = (if lost { 'x' } else { '>' }, to > from);
        row[left..right].fill('-');
        let tip = if lost { 3 } else { 1 };
        let (head_at, blank) = match rightwards {
            true => (right - tip, right - tip + 1..right),
            false => (left + tip - 1, left..left + tip - 1),
        };
        row[blank].fill(' ');
        row[head_at] = if lost || rightwards { head } else { '<' };
        let room = (right - left).saturating_sub(arrow.ink());
        let label: Vec<char> = format!(" {} ", clip(&arrow.label, room)).chars().collect();
        put(&mut row, left + (right - left - label.len().min(right - left)) / 2, &label);
        row.into_iter().collect()
    }

    const fn at(&self, column: usize) -> usize {
        self.first + self.gap * column
    }
}

impl Arrow {
    /// Returns what an arrow takes beside its label: blanks around it, a line, and a head that may stand off.
    const fn ink(&self) -> usize {
        if matches!(self.end, End::Dropped(..)) { 10 } else { 6 }
    }

    /// Returns the columns where it begins and ends.
    fn ends(&self, columns: &[NodeId]) -> (usize, usize) {
        let column = |node: NodeId| columns.iter().position(|other| *other == node).unwrap_or(0);
        (column(self.from), column(self.to.unwrap_or(self.from)))
    }
}

fn columns(lines: &[Line]) -> Vec<NodeId> {
    let ends = lines.iter().flat_map(|line| match line {
        Line::Arrow(arrow) => vec![Some(arrow.from), arrow.to],
        Line::Note(..) => Vec::new(),
    });
    let nodes: BTreeSet<NodeId> = ends.flatten().collect();
    nodes.into_iter().collect()
}

/// Writes characters over a row, which grows if it must.
fn put(row: &mut Vec<char>, start: usize, text: &[char]) {
    row.resize(row.len().max(start + text.len()), ' ');
    row[start..start + text.len()].copy_from_slice(text);
}

fn clip(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(2)).collect();
    format!("{kept}..")
}

/// Leaves out what Mermaid would read as its own.
fn plain(text: &str) -> String {
    text.replace([';', '#', '\n', '\r'], ",")
}

fn short(delay: Duration) -> String {
    let exact = delay.subsec_micros().is_multiple_of(1000);
    if exact || delay >= Duration::from_millis(10) {
        return format!("{}ms", delay.as_millis());
    }
    format!("{}us", delay.as_micros())
}
