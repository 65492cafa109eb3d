//! Tasks and actors inside function bodies and nested modules, without a single import, warnings refused
//! (MAC-1, MAC-2, MAC-3, MAC-6).

#![deny(warnings, missing_docs)]
#![forbid(unsafe_code)]

/// A module of a library.
pub mod outer {
    /// Deeper.
    pub mod inner {
        /// Doubles a number.
        #[maser::task]
        pub fn double(x: u64) -> u64 {
            2 * x
        }

        /// Counts.
        pub struct Counter {
            count: u64,
        }

        #[maser::actor]
        impl Counter {
            /// Starts at `count`.
            pub fn new(count: u64) -> Self {
                Counter { count }
            }

            /// Adds `by`.
            pub fn add(&mut self, by: u64) -> u64 {
                self.count += by;
                self.step()
            }

            #[maser(skip)]
            fn step(&self) -> u64 {
                self.count
            }
        }

        #[maser::task]
        pub(in crate::outer) fn narrow() {}

        #[maser::task]
        fn private() {}

        /// Uses the private one.
        pub fn all() {
            private::remote();
        }
    }

    /// Uses the narrow one.
    pub fn all() {
        inner::narrow::remote();
        inner::all();
    }
}

fn in_a_body() {
    // Names that generated code might have used.
    #[allow(dead_code)]
    struct Ok;
    #[allow(dead_code)]
    struct Options;
    #[allow(dead_code)]
    mod core {}
    #[allow(dead_code)]
    mod std {}

    #[maser::task]
    fn triple(triple: i64) -> i64 {
        3 * triple
    }

    struct Local;

    #[maser::actor]
    impl Local {
        fn new() -> Self {
            Local
        }
        fn text(&self) -> String {
            String::from("text")
        }
    }

    let _ = triple::remote(1);
    let _ = Local::remote().text().remote();
}

fn main() {
    let _ = outer::inner::double::remote(3);
    let _ = outer::inner::Counter::remote(3).add().remote(4);
    if false {
        outer::all();
        in_a_body();
    }
}
