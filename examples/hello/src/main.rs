fn main() -> fdk::Result<()> {
    fdk::run(hello)
}

fn hello(name: String) -> String {
    let name = name.trim();
    format!("Hello {}\n", if name.is_empty() { "World" } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_the_world() {
        assert_eq!(hello(" \n".to_owned()), "Hello World\n");
    }

    #[test]
    fn a_name_is_greeted_without_its_line_end() {
        assert_eq!(hello("Ann\n".to_owned()), "Hello Ann\n");
    }
}
