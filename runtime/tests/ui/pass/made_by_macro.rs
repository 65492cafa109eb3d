//! Items that come out of a `macro_rules!`.

#![deny(warnings)]

macro_rules! tasks {
    ($($name:ident: $ty:ty),*) => {
        $(
            #[maser::task]
            fn $name(x: $ty, by: &$ty) -> $ty {
                x + by
            }
        )*
    };
}

tasks!(small: u8, large: u64);

macro_rules! actor {
    ($name:ident, $method:ident, $value:expr) => {
        struct $name($crate::Number);

        #[maser::actor]
        impl $name {
            fn new() -> Self {
                $name($value)
            }
            fn $method(&self) -> $crate::Number {
                self.0
            }
        }
    };
}

type Number = i32;

actor!(First, one, 1);
actor!(Second, two, 2);

fn main() {
    if false {
        small::remote(1, 2);
        large::remote(1, 2);
        First::remote().one().remote();
        Second::remote().two().remote();
    }
}
