//! Many submitters, a full pool, a full disk, and an end in the middle of it all.

use std::time::{Duration, Instant};

use soulchain::log::{Opaque, OpaqueGroup, PoolLimits, SubmitError};

use super::audit::{check_files, check_log, check_tree};
use super::rules::{Line, Rules};
use super::world::{SMALL_SEGMENT, Told, World, block_on, one};

type Answers = Vec<(Vec<Line>, soulchain::log::Pending<Rules>)>;
