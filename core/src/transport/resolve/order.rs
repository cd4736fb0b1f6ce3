use crate::{base::Rng, transport::Srv};

/// Puts hosts in the order in which they are tried: by priority, and within it at random by weight (RFC 2782).
pub(super) fn by_weight(mut hosts: Vec<Srv>, rng: &mut Rng) -> Vec<Srv> {
    // Those of weight 0 stand first of their priority, so that they have a very small chance. The sort is stable.
    hosts.sort_by_key(|host| (host.priority, host.weight != 0));
    let mut ordered = Vec::with_capacity(hosts.len());
    while let Some(first) = hosts.first() {
        let priority = first.priority;
        let rivals = hosts.iter().take_while(|host| host.priority == priority);
        let sum: u64 = rivals.clone().map(|host| u64::from(host.weight)).sum();
        // A single one leaves nothing to draw.
        let drawn = if rivals.clone().nth(1).is_some() { rng.below(sum + 1) } else { 0 };
        let mut running = 0;
        let reached = |host: &Srv| {
            running += u64::from(host.weight);
            running >= drawn
        };
        let at = rivals.cloned().collect::<Vec<_>>().iter().position(reached).unwrap_or(0);
        ordered.push(hosts.remove(at));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;

    fn host(priority: u16, weight: u16) -> Srv {
        Srv { priority, weight, port: weight, target: None }
    }

    /// DN-10, C063, TU.09: the lowest priority comes first, whatever the weights.
    #[test]
    fn dn_10_priorities() {
        let mut rng = Seed::from_u64(1).stream("srv");
        for _ in 0..100 {
            let hosts = vec![host(20, 60_000), host(10, 1), host(20, 0), host(10, 50), host(5, 0)];
            let ordered: Vec<u16> = by_weight(hosts, &mut rng).iter().map(|host| host.priority).collect();
            assert_eq!(ordered, [5, 10, 10, 20, 20]);
        }
    }

    /// TU.10: weights 1:9:90 lead to as many first places, within four standard deviations.
    #[test]
    fn tu_10_weights() {
        let mut rng = Seed::from_u64(7).stream("srv");
        let mut first = [0_u32; 3];
        let weights = [1_u16, 9, 90];
        let rounds = 20_000_u32;
        for _ in 0..rounds {
            let hosts = weights.map(|weight| host(1, weight)).to_vec();
            let winner = by_weight(hosts, &mut rng)[0].weight;
            let at = weights.iter().position(|weight| *weight == winner).expect("it is one of them");
            first[at] += 1;
        }
        // RFC 2782 draws from 0 to the sum inclusive, so the one that stands first has one number more.
        for (count, share) in first.into_iter().zip([2.0, 9.0, 90.0]) {
            let p = share / 101.0;
            let (mean, deviation) = (f64::from(rounds) * p, (f64::from(rounds) * p * (1.0_f64 - p)).sqrt());
            assert!((f64::from(count) - mean).abs() < 4.0 * deviation, "{first:?}");
        }
    }

    /// DN-10: a host of weight 0 has a very small chance beside others, and all of it among its like.
    #[test]
    fn dn_10_weight_zero() {
        let mut rng = Seed::from_u64(3).stream("srv");
        let mut first = 0;
        for _ in 0..10_000 {
            let hosts = vec![host(1, 99), host(1, 0)];
            first += u32::from(by_weight(hosts, &mut rng)[0].weight == 0);
        }
        assert!((40..250).contains(&first), "{first}");
        assert_eq!(by_weight(vec![host(1, 0), host(1, 0)], &mut rng).len(), 2);
    }
}
