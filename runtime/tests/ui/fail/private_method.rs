mod inner {
    pub struct Echo;

    #[maser::actor]
    impl Echo {
        pub fn new() -> Self {
            Echo
        }
        fn echo(&self) {}
    }

    #[maser::task]
    fn hidden() {}
}

fn main() {
    inner::Echo::remote().echo().remote();
    inner::hidden::remote();
}
