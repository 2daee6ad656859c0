//! The verifier embedded: `cargo run --no-default-features --example verify -- POLICY PROOF`.

use std::error::Error;
use std::io::Write as _;

use soulchain::tlog::Policy;
use soulchain::verify::{Request, verify};

fn main() -> Result<(), Box<dyn Error>> {
    let [policy, proof] = std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "POLICY PROOF")?;
    let policy = Policy::parse(&std::fs::read(policy)?)?;
    let verdict = verify(&Request::new(&policy, &std::fs::read(proof)?))?;
    for check in verdict.passed() {
        writeln!(std::io::stdout(), "holds: {check}")?;
    }
    Ok(())
}
