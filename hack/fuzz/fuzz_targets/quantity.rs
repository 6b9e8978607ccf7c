//! Fuzzes quantities with three texts: their order is total and exact.
#![no_main]

use std::cmp::Ordering;

use headworks::k8s::quantity::Quantity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let list: Vec<(&str, Quantity)> = text
        .split('\n')
        .take(3)
        .filter_map(|text| Quantity::parse(text).ok().map(|quantity| (text.trim(), quantity)))
        .collect();
    for (text, a) in &list {
        assert_eq!(a.cmp(a), Ordering::Equal);
        assert_eq!(Quantity::parse(&format!(" {text} ")).as_ref(), Ok(a));
        assert_eq!(a.is_negative(), a.signum() < 0);
        if let Some(nano) = a.nano() {
            assert_eq!(nano.signum(), i128::from(a.signum()));
        }
        // A minus sign negates the value.
        if text.len() < 255 && text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            let minus = Quantity::parse(&format!("-{text}")).expect("a sign is no mistake");
            assert_eq!(minus.signum(), -a.signum());
            assert_eq!(minus.is_whole(), a.is_whole());
            if let (Some(plus), Some(minus)) = (a.nano(), minus.nano()) {
                assert_eq!(plus, -minus);
            }
            // A leading zero changes nothing.
            assert_eq!(Quantity::parse(&format!("0{text}")).as_ref(), Ok(a));
        }
        for (_, b) in &list {
            assert_eq!(a.cmp(b), b.cmp(a).reverse());
            assert_eq!(a == b, a.cmp(b) == Ordering::Equal, "{a:?} {b:?}");
            if let (Some(x), Some(y)) = (a.nano(), b.nano()) {
                assert_eq!(a.cmp(b), x.cmp(&y));
            }
            for (_, c) in &list {
                if a <= b && b <= c {
                    assert!(a <= c, "{a:?} {b:?} {c:?}");
                }
            }
        }
    }
});
