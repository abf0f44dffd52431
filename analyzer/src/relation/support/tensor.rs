//! What the agent says of a tensor, taken apart: `[8, 3] float32 cpu`.

use traincheck_schema::record::{Argument, ArgumentKind, tensor};

use crate::source::Source;

/// A tensor that a call was given or gave back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Described<'a> {
    /// As it is written, without the brackets: `8, 3`.
    shape: &'a str,
    /// `float32`.
    pub dtype: &'a str,
    /// `cuda` for `cuda:1`.
    pub device: &'a str,
    /// Whether it requires a gradient.
    pub requires_grad: bool,
    /// The largest magnitude of its finite elements. `None`: they were not looked at, or those that are finite are zero and
    /// others are not finite, which says nothing either way.
    pub largest: Option<f32>,
}

impl<'a> Described<'a> {
    /// `None`: it is no tensor, or one of a kind that is not understood.
    pub fn of(argument: &Argument, source: &'a dyn Source) -> Option<Described<'a>> {
        if argument.value_kind != ArgumentKind::Tensor as u8 {
            return None;
        }
        let text = &source.entry(argument.text)?.text;
        let has = |flag: u16| argument.flags & flag != 0;
        let requires_grad = has(tensor::REQUIRES_GRAD);
        let says_something =
            has(tensor::LARGEST_KNOWN) && (argument.largest > 0.0 || !has(tensor::NOT_FINITE));
        let largest = says_something.then_some(argument.largest);
        Described::parse(text).map(|described| Described { requires_grad, largest, ..described })
    }

    fn parse(text: &str) -> Option<Described<'_>> {
        let (shape, rest) = text.strip_prefix('[')?.split_once("] ")?;
        let mut words = rest.split(' ');
        let (dtype, device) = (words.next()?, words.next()?);
        let device = device.split(':').next()?;
        Some(Described { shape, dtype, device, requires_grad: false, largest: None })
    }

    /// All dimensions; `None`: they are not all numbers.
    pub fn dimensions(&self) -> Option<Vec<u64>> {
        let numbers = self.shape.split(", ").filter(|number| !number.is_empty());
        numbers.map(|number| number.parse().ok()).collect()
    }

    /// How many elements it has; `None`: its dimensions are not all numbers, or there are too many.
    pub fn elements(&self) -> Option<u64> {
        let mut numbers = self.shape.split(", ").filter(|number| !number.is_empty());
        numbers.try_fold(1u64, |product, number| product.checked_mul(number.parse().ok()?))
    }

    /// The first dimension.
    pub fn rows(&self) -> Option<u64> {
        self.shape.split(", ").next()?.parse().ok()
    }

    /// The last dimension.
    pub fn length(&self) -> Option<u64> {
        self.shape.rsplit(", ").next()?.parse().ok()
    }

    /// Whether its elements are floating-point numbers.
    pub fn is_float(&self) -> bool {
        self.dtype.starts_with("float") || self.dtype.starts_with("bfloat")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_taken_apart() {
        let of = Described::parse("[8, 3] float32 cuda:1").unwrap();
        assert_eq!((of.rows(), of.length(), of.dtype, of.device), (Some(8), Some(3), "float32", "cuda"));
        let scalar = Described::parse("[] int64 cpu").unwrap();
        assert_eq!((scalar.rows(), scalar.length(), scalar.is_float()), (None, None, false));
        assert_eq!((of.dimensions(), scalar.dimensions()), (Some(vec![8, 3]), Some(vec![])));
        assert_eq!((of.elements(), scalar.elements()), (Some(24), Some(1)));
        let too_many = Described::parse("[4294967296, 4294967296] float32 cpu").unwrap();
        assert_eq!(too_many.elements(), None);
        for text in ["", "[", "[8] float32", "type 99 device 20:0", "[8 float32 cpu"] {
            assert_eq!(Described::parse(text), None, "{text}");
        }
    }
}
