//! A network of the test's own: namespaces on one bridge, whose links a test can spoil.
//!
//! Needs root and `ip`; where either is missing, [`Network::new`] says why there is none. Packets
//! are dropped by routes into nowhere, in the sender's namespace: so one direction at a time.

use std::ffi::OsStr;
use std::process::Command;

/// Some machines on one bridge.
#[derive(Debug)]
pub struct Network {
    /// The machines.
    pub nodes: Vec<Node>,
    bridge: String,
}

/// One machine.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its address.
    pub address: String,
    namespace: String,
}

impl Network {
    /// A bridge with `count` machines.
    ///
    /// # Errors
    /// Why it cannot be had on this machine.
    pub fn new(count: usize) -> Result<Self, String> {
        let name = |n: usize| format!("lora-{}-{n}", std::process::id());
        let bridge = name(0);
        ip(&["netns", "add", &bridge])?;
        let mut network = Self {
            nodes: Vec::new(),
            bridge,
        };
        let hub = network.bridge.clone();
        ip(&["-n", &hub, "link", "add", "hub", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "hub", "up"])?;
        for number in 1..=count {
            let namespace = name(number);
            ip(&["netns", "add", &namespace])?;
            let address = format!("10.77.0.{number}");
            network.nodes.push(Node {
                address: address.clone(),
                namespace: namespace.clone(),
            });
            let port = format!("port{number}");
            ip(&[
                "-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns",
                &namespace,
            ])?;
            ip(&["-n", &hub, "link", "set", &port, "master", "hub", "up"])?;
            ip(&[
                "-n",
                &namespace,
                "addr",
                "add",
                &format!("{address}/24"),
                "dev",
                "eth0",
            ])?;
            ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        }
        Ok(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let names = self.nodes.iter().map(|n| n.namespace.clone());
        for name in names.chain([self.bridge.clone()]) {
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

impl Node {
    /// A command that runs on this machine.
    #[must_use]
    pub fn inside(&self, command: Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.namespace]);
        inside.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(key, value),
                None => inside.env_remove(key),
            };
        }
        inside
    }

    /// Takes its link away, or gives it back.
    pub fn link(&self, state: &str) {
        self.ip(&["link", "set", "eth0", state]);
    }

    /// Drops what this machine sends to another one.
    pub fn drop_to(&self, other: &Self) {
        self.ip(&["route", "add", "blackhole", &other.address]);
    }

    /// Drops it no more.
    pub fn pass_to(&self, other: &Self) {
        self.ip(&["route", "del", "blackhole", &other.address]);
    }

    fn ip(&self, arguments: &[&str]) {
        let all = [&["-n", self.namespace.as_str()], arguments].concat();
        ip(&all).unwrap_or_else(|e| panic!("{e}"));
    }
}

fn ip<S: AsRef<OsStr>>(arguments: &[S]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|e| format!("ip cannot be run: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let words: Vec<_> = arguments
        .iter()
        .map(|a| a.as_ref().to_string_lossy())
        .collect();
    Err(format!("ip {}: {said}", words.join(" ")))
}
