use std::rc::Rc;

#[derive(Debug)]
struct Oops;

#[maser::task]
fn fail() -> Result<u64, Oops> {
    Err(Oops)
}

#[derive(Debug, thiserror::Error)]
#[error("on one thread only")]
struct Here(Rc<u64>);

#[maser::task(stream)]
fn some() -> Result<Vec<u64>, Here> {
    Ok(vec![1])
}

struct Echo;

#[maser::actor]
impl Echo {
    fn new() -> Result<Self, Oops> {
        Ok(Echo)
    }
    fn echo(&self, text: String) -> Result<String, Box<dyn std::error::Error>> {
        Ok(text)
    }
    async fn later(&self) -> Result<(), u64> {
        Ok(())
    }
}

fn main() {}
