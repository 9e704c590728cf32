//! Curves as SVG: both axes logarithmic, so that what is flat is flat and what grows with the data is a diagonal.

use std::fmt::Write;

use crate::table::Curve;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 176.0;
const TOP: f64 = 32.0;
const BOTTOM: f64 = 48.0;
/// Readable on light and on dark ground.
const COLOURS: [&str; 3] = ["#2b7bba", "#c2571a", "#4f9a3f"];
const GREY: &str = "#8a8a8a";

/// The curves against one measure, as a picture.
pub fn svg(curves: &[&Curve]) -> String {
    let against = curves.first().map_or("", |curve| curve.against);
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let decades = |of: fn(&(f64, f64)) -> f64| {
        let logs = || points().map(of).filter(|at| *at > 0.0).map(f64::log10);
        (logs().fold(f64::INFINITY, f64::min).floor(), logs().fold(f64::NEG_INFINITY, f64::max).ceil())
    };
    let (x, y) = (decades(|point| point.0), decades(|point| point.1));
    let across = |at: f64| LEFT + (at.log10() - x.0) / (x.1 - x.0).max(1.0) * (WIDTH - LEFT - RIGHT);
    let down = |at: f64| HEIGHT - BOTTOM - (at.log10() - y.0) / (y.1 - y.0).max(1.0) * (HEIGHT - TOP - BOTTOM);
    let title = format!("Microseconds of server CPU against {against}");
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"{GREY}\">\n<title>{title}</title>\n"
    );
    let mut put = |line: String| writeln!(text, "{line}").expect("a string takes all");
    put(format!("<text x=\"{LEFT}\" y=\"18\">µs of server CPU</text>"));
    put(format!("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{against}</text>", WIDTH - RIGHT, HEIGHT - 8.0));
    for decade in x.0 as i32..=x.1 as i32 {
        let at = across(10f64.powi(decade));
        put(format!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>", HEIGHT - BOTTOM + 18.0, power(decade)));
    }
    for decade in y.0 as i32..=y.1 as i32 {
        let at = down(10f64.powi(decade));
        put(format!("<path d=\"M{LEFT} {at:.1}H{}\" stroke=\"{GREY}\" stroke-opacity=\".3\"/>", WIDTH - RIGHT));
        put(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", LEFT - 8.0, at + 4.0, power(decade)));
    }
    for (curve, colour) in curves.iter().zip(COLOURS) {
        let path: Vec<String> = curve.points.iter().map(|(a, b)| format!("{:.1} {:.1}", across(*a), down(*b))).collect();
        put(format!("<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join("L")));
        for (a, b) in &curve.points {
            put(format!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", across(*a), down(*b)));
        }
        if let Some((a, b)) = curve.points.last() {
            put(format!("<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>", across(*a) + 8.0, down(*b) + 4.0, curve.measure));
        }
    }
    put("</svg>".into());
    text
}

fn power(decade: i32) -> String {
    match decade {
        0 => "1".into(),
        1 => "10".into(),
        2 => "100".into(),
        3.. => format!("10<tspan dy=\"-4\" font-size=\"9\">{decade}</tspan>"),
        _ => format!("{}", 10f64.powi(decade)),
    }
}
