//! Floats of three widths. (CODEC-1)

/// Bytes of the shortest float that holds the number exactly.
pub(super) fn shortest_width(number: f64) -> usize {
    if f64_to_half(number).is_some() {
        2
    } else if f64::from(number as f32) == number {
        4
    } else {
        8
    }
}

/// The number that a half-precision float holds.
pub(super) fn half_to_f64(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (fraction + 1024.0) * 2f64.powi(exponent - 25),
    }
}

/// The half-precision float that is exactly this number, if there is one.
pub(super) fn f64_to_half(number: f64) -> Option<u16> {
    let sign = if number.is_sign_negative() { 0x8000 } else { 0 };
    let size = number.abs();
    if !(2f64.powi(-24)..=65504.0).contains(&size) {
        return None;
    }
    let exponent = (((size.to_bits() >> 52) as i32) - 1023).max(-14);
    let scaled = size * 2f64.powi(10 - exponent);
    if scaled.fract() != 0.0 {
        return None;
    }
    let scaled = scaled as u16;
    // A subnormal has no hidden bit.
    let bits = if scaled < 1024 { scaled } else { ((exponent + 15) as u16) << 10 | (scaled - 1024) };
    Some(sign | bits)
}
