use crate::{Caller, Heap, Keep, Load, Shape, Template, loopback};

/// What one of many costs to keep. The heap's bytes stay zero unless [`Counting`](crate::Counting) is the allocator.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Bytes asked of the allocator.
    pub requested: i64,
    /// Bytes of resident memory, where the system tells.
    pub resident: Option<i64>,
    /// Bytes of the answer among them.
    pub answer: usize,
}

/// Measures completed non-INVITE server transactions over UDP, each with a Call-ID of its own.
///
/// # Panics
/// If one of them is gone before all are there.
pub fn transaction_bytes(count: u32) -> Kept {
    let mut load = Load::new(Keep::Transactions);
    let mut template = Template::new(Shape::Options.bytes());
    let mut answer = 0;
    let before = (Heap::now(), resident());
    for number in 0..count {
        load.pass(Load::LINGER / (count + 1));
        load.feed(template.numbered(number.into()));
        load.drain(|bytes| answer = bytes.len());
    }
    assert_eq!(load.live(), count as usize, "all are live");
    each(before, count, answer)
}

/// Measures confirmed dialogs made by INVITE: fresh from their ACK, and when the transaction is gone after Timer L.
///
/// # Panics
/// If one of them is gone before all are there.
pub fn dialog_bytes(count: u32) -> [Kept; 2] {
    let (mut load, mut caller) = (Load::new(Keep::Transactions), Caller::default());
    let mut answer = 0;
    let before = (Heap::now(), resident());
    for _ in 0..count {
        load.feed(caller.invite());
        load.drain(|bytes| {
            answer = bytes.len();
            caller.heard(bytes);
        });
        load.feed(&caller.ack());
    }
    let fresh = each(before, count, answer);
    load.pass(Load::LINGER);
    load.settle();
    assert_eq!(load.live(), count as usize, "all are live");
    [fresh, each(before, count, answer)]
}

fn each(before: (Heap, Option<i64>), count: u32, answer: usize) -> Kept {
    let count = i64::from(count);
    let grown = resident().zip(before.1).map(|(now, then)| (now - then) / count);
    Kept { requested: Heap::now().since(before.0).live / count, resident: grown, answer }
}

/// Returns the resident bytes of this process, where the system tells.
fn resident() -> Option<i64> {
    loopback::resident(std::process::id()).ok()?.try_into().ok()
}
