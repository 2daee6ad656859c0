//! Names of a log's files: the paths of C2SP tlog-tiles, and beside them the bodies.

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TileKind {
    /// Hashes of a level.
    Hashes(u8),
    /// Entries.
    Entries,
}

/// `tile/<L>/<N>[.p/<W>]`
pub(crate) fn tile(kind: TileKind, index: u64, width: usize) -> String {
    if width == super::tail::TILE_WIDTH {
        format!("{}{}", folder(kind), number(index))
    } else {
        format!("{}/{width}", partials(kind, index))
    }
}

/// The folder of all partial tiles of one index.
pub(crate) fn partials(kind: TileKind, index: u64) -> String {
    format!("{}{}.p", folder(kind), number(index))
}

/// The bodies of the entries of a bundle.
pub(crate) fn bodies(bundle: u64) -> String {
    format!("bodies/{}", number(bundle))
}

fn folder(kind: TileKind) -> String {
    match kind {
        TileKind::Hashes(level) => format!("tile/{level}/"),
        TileKind::Entries => "tile/entries/".to_owned(),
    }
}

/// Three digits an element, all but the last with an `x` before them.
fn number(mut index: u64) -> String {
    let mut text = format!("{:03}", index % 1000);
    while index >= 1000 {
        index /= 1000;
        text = format!("x{:03}/{text}", index % 1000);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        assert_eq!(tile(TileKind::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile(TileKind::Entries, 273, 112), "tile/entries/273.p/112");
        assert_eq!(partials(TileKind::Hashes(3), 1000), "tile/3/x001/000.p");
        assert_eq!(bodies(5), "bodies/005");
    }
}
