//! Where decoding of H.264 can begin.

/// Whether decoding can begin with an access unit in MP4's form (NAL units with a length of four bytes
/// before each, ISO/IEC 14496-15 section 5.3): it is an IDR picture, or parameter sets come before its
/// first slice, as at recovery points.
///
/// `h264parse` calls every I picture a key frame. Those at scene cuts are none: what follows may refer
/// to what came before them, and a segment that begins there is black in browsers.
pub(super) fn can_begin(access_unit: &[u8]) -> bool {
    let mut rest = access_unit;
    while let Some((length, unit)) = rest.split_first_chunk::<4>() {
        // Types of ITU-T H.264 table 7-1: slices are 1-5, 5 of an IDR picture; 7 is an SPS.
        match unit.first().map(|header| header & 31) {
            Some(5 | 7) => return true,
            Some(1..=4) => return false,
            _ => {}
        }
        let next = usize::try_from(u32::from_be_bytes(*length)).ok().and_then(|n| unit.get(n..));
        rest = next.unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idr_pictures_and_recovery_points_begin_and_scene_cuts_do_not() {
        let unit = |types: &[u8]| -> Vec<u8> {
            types.iter().flat_map(|kind| [0, 0, 0, 2, *kind, 0x55]).collect()
        };
        for (types, expect) in [
            (&[9, 0x67, 0x68, 6, 0x65][..], true),
            (&[9, 0x67, 0x68, 6, 0x41], true),
            (&[9, 0x65], true),
            (&[9, 6, 0x41], false),
            (&[], false),
        ] {
            assert_eq!(can_begin(&unit(types)), expect, "{types:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            can_begin(&bytes);
        }
    }
}
