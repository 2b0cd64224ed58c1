//! Properties of quantities that no list of cases covers.

use flotilla_policy::model::quantity::{Quantity, QuantityError, QuantityFormat};
use proptest::prelude::*;

fn quantity() -> impl Strategy<Value = Quantity> {
    let suffix = prop::sample::select(vec![
        "n", "u", "m", "", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi", "e3", "e-2", "E0",
    ]);
    (any::<i32>(), 0_u32..1_000_000_000, suffix).prop_map(|(whole, fraction, suffix)| {
        let text = format!("{whole}.{fraction:09}{suffix}");
        text.parse().expect("a small quantity")
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[-+]?[0-9.]{0,40}([eE][-+]?[0-9]{0,20}|[a-zA-Z]{0,3})") {
        if let Ok(quantity) = Quantity::parse(&text) {
            prop_assert_eq!(Quantity::parse(&quantity.to_string()), Ok(quantity));
        }
    }

    #[test]
    fn any_unicode_is_read_or_refused(text in any::<String>()) {
        let reread = Quantity::parse(&text).map(|quantity| quantity.to_string().parse::<Quantity>());
        prop_assert!(!matches!(reread, Ok(Err(_))));
    }

    #[test]
    fn what_is_printed_reads_as_the_same(quantity in quantity()) {
        let text = quantity.to_string();
        let read: Quantity = text.parse().expect("a printed quantity");
        prop_assert_eq!(read, quantity);
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn subtracting_undoes_adding(a in quantity(), b in quantity()) {
        prop_assert_eq!((a + b) - b, a);
        prop_assert_eq!(a + b, b + a);
        prop_assert_eq!(a.cmp(&b), (a - b).cmp(&Quantity::ZERO));
        prop_assert_eq!((a - a).to_string(), "0");
    }

    #[test]
    fn rounding_goes_away_from_zero_by_less_than_one(quantity in quantity()) {
        prop_assume!(quantity.value().unsigned_abs() < i64::MAX as u64);
        let rest = Quantity::from_units(quantity.value()) - quantity;
        prop_assert!(rest.is_zero() || rest.sign() == quantity.sign());
        prop_assert!(rest < Quantity::from_units(1) && rest > Quantity::from_units(-1));
    }
}

#[test]
fn no_exponent_occupies_the_parser() {
    for text in ["1e2147483648", "1e999999999999999999", "9e30"] {
        assert_eq!(
            Quantity::parse(text),
            Err(QuantityError::OutOfRange),
            "{text}"
        );
    }
    let smallest = Quantity::parse("1e-999999999999999999").expect("rounds up to a nano");
    assert_eq!(smallest.to_string(), "1e-9");
    let long = format!("0.{}1Ki", "0".repeat(100_000));
    assert_eq!(Quantity::parse(&long).map(Quantity::sign), Ok(1));
}

#[test]
fn sums_stay_at_the_end() {
    let most = Quantity::parse("170141183460469231731687303715").expect("the largest amount");
    let sum = most + most;
    assert!(sum >= most);
    assert_eq!(sum.value(), i64::MAX);
    assert_eq!(sum.in_format(QuantityFormat::BinarySi).value(), i64::MAX);
}
