//! Which quota of the account an instance type counts against.

use super::placement::{Ec2Placement, Market};

/// A quota of vCPUs, in the service `ec2` of Service Quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quota {
    /// Its code there, such as `L-DB2E81BA`.
    pub code: &'static str,
    /// Its name in the console.
    pub name: &'static str,
}

impl Quota {
    const fn new(name: &'static str, code: &'static str) -> Self {
        Self { code, name }
    }
}

/// Quotas of vCPUs by the class of the instance type: on demand, on spot.
/// <https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html>
const QUOTAS: [(&[&str], Quota, Quota); 7] = [
    (
        &["g", "gr", "vt"],
        Quota::new("Running On-Demand G and VT instances", "L-DB2E81BA"),
        Quota::new("All G and VT Spot Instance Requests", "L-3819A6DF"),
    ),
    (
        &["p"],
        Quota::new("Running On-Demand P instances", "L-417A185B"),
        Quota::new("All P4, P3 and P2 Spot Instance Requests", "L-7212CCBC"),
    ),
    (
        &["inf"],
        Quota::new("Running On-Demand Inf instances", "L-1945791B"),
        Quota::new("All Inf Spot Instance Requests", "L-B5D1601B"),
    ),
    (
        &["trn"],
        Quota::new("Running On-Demand Trn instances", "L-2C3B7624"),
        Quota::new("All Trn Spot Instance Requests", "L-6B0D517C"),
    ),
    (
        &["dl"],
        Quota::new("Running On-Demand DL instances", "L-6E869C2A"),
        Quota::new("All DL Spot Instance Requests", "L-85EED4F7"),
    ),
    (
        &["f"],
        Quota::new("Running On-Demand F instances", "L-74FC7D96"),
        Quota::new("All F Spot Instance Requests", "L-88CF9481"),
    ),
    (
        &["a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"],
        Quota::new(
            "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
            "L-1216C47A",
        ),
        Quota::new("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", "L-34B43A08"),
    ),
];

/// The fifth generation of P has a spot quota of its own.
const P5_SPOT: Quota = Quota::new("All P5 Spot Instance Requests", "L-C4BD4855");

/// The quota that an instance of this rung counts against, as text; where it is not known for
/// sure, what to look for.
#[cfg(feature = "aws-ec2")]
pub(super) fn text(rung: &Ec2Placement) -> String {
    let known = of(rung).map(|Quota { code, name }| format!("\"{name}\" ({code})"));
    known.unwrap_or_else(|| {
        let market = match rung.market {
            Market::OnDemand => "on-demand instances",
            Market::Spot => "spot instance requests",
        };
        format!("of {market} like `{}`", rung.instance_type)
    })
}

/// The quota that an instance of this rung counts against; none where it is not known for sure.
pub fn of(rung: &Ec2Placement) -> Option<Quota> {
    let family = rung.instance_type.split('.').next()?;
    let generation = family.find(|letter: char| letter.is_ascii_digit())?;
    let (class, generation) = family.split_at_checked(generation)?;
    let spot = rung.market == Market::Spot;
    if class == "p" && spot {
        let number = generation.bytes().next()?;
        return match number {
            b'5' => Some(P5_SPOT),
            b'2'..=b'4' => by_class(class, spot),
            // Later ones may count against one of these or against their own.
            _ => None,
        };
    }
    by_class(class, spot)
}

fn by_class(class: &str, spot: bool) -> Option<Quota> {
    let (_, on_demand, on_spot) = QUOTAS.iter().find(|(classes, ..)| classes.contains(&class))?;
    Some(if spot { *on_spot } else { *on_demand })
}

#[cfg(all(test, feature = "aws-ec2"))]
mod tests {
    use super::*;

    #[test]
    fn quota_is_that_of_the_family_and_the_market() {
        for (instance_type, on_demand, on_spot) in [
            ("g6.xlarge", "L-DB2E81BA", "L-3819A6DF"),
            ("gr6.4xlarge", "L-DB2E81BA", "L-3819A6DF"),
            ("p4d.24xlarge", "L-417A185B", "L-7212CCBC"),
            ("p5en.48xlarge", "L-417A185B", "L-C4BD4855"),
            ("p6-b200.48xlarge", "L-417A185B", "of spot instance requests like `p6-b200.48xlarge`"),
            ("inf2.xlarge", "L-1945791B", "L-B5D1601B"),
            ("m7i.large", "L-1216C47A", "L-34B43A08"),
            ("u-6tb1.metal", "of on-demand instances", "of spot instance requests"),
        ] {
            for (market, expected) in [(Market::OnDemand, on_demand), (Market::Spot, on_spot)] {
                let rung = Ec2Placement { instance_type: instance_type.into(), zone: None, market };
                let text = text(&rung);
                assert!(text.contains(expected), "{instance_type} {market:?}: {text}");
            }
        }
    }
}
