//! Sends back whatever comes over UDP and TCP: `cargo run -p sansip-tokio --example echo -- 127.0.0.1:5060`.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use bytes::Bytes;
use sansip::{Input, Instant, Machine, Output, Proto, SocketId};

#[derive(Default)]
struct Echo {
    outputs: VecDeque<Output>,
}

impl Machine for Echo {
    fn handle_input(&mut self, _: Instant, input: Input<'_>) {
        match input {
            Input::Bound { result, .. } => println!("bound: {result:?}"),
            Input::Datagram { socket, local, remote, payload } => {
                let payload = Bytes::copy_from_slice(payload);
                self.outputs.push_back(Output::Transmit { socket, local, remote, payload });
            }
            Input::Received { conn, data } => {
                self.outputs.push_back(Output::Send { conn, data: Bytes::copy_from_slice(data) });
            }
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr: SocketAddr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into()).parse()?;
    let node = sansip_tokio::spawn(Echo::default());
    node.with(move |echo, _now| {
        for (id, proto) in [(1, Proto::Udp), (2, Proto::Tcp)] {
            echo.outputs.push_back(Output::Bind { socket: SocketId(id), proto, addr });
        }
    })
    .await?;
    println!("press Enter to end");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    node.stop(Duration::from_secs(1)).await;
    Ok(())
}
