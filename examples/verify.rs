//! The verifier embedded: `cargo run --no-default-features --example verify -- POLICY PROOF`.

use std::error::Error;
use std::io::Write as _;

use soulchain::tlog::Policy;
use soulchain::verify::{Request, verify};

fn main() -> Result<(), Box<dyn Error>> {
    let [policy, proof] = std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "POLICY PROOF")?;
    let policy = Policy::parse(&std::fs::read(policy)?)?;
    let verdict = verify(&Request {
        policy: &policy,
        proof: &std::fs::read(proof)?,
        now_seconds: None,
        max_age_seconds: None,
        name: None,
        identity: None,
        origin: None,
        state_asked: false,
    })?;
    for check in verdict.passed() {
        writeln!(std::io::stdout(), "holds: {check}")?;
    }
    Ok(())
}
