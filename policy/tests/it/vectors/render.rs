#[test]
fn render() {}
