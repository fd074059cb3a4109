//! Tests of one binary run in threads, which are named after them.
#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::path::PathBuf;
    use std::time::Duration;

    fn place(what: &str) -> PathBuf {
        PathBuf::from(std::env::var("PARASUITE_COPY_DIR").unwrap()).join(what)
    }

    fn tell(what: &str) {
        std::fs::write(place(what), "").unwrap();
    }

    fn hear(what: &str) {
        while !place(what).exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn listen() -> std::io::Result<TcpListener> {
        TcpListener::bind(format!("127.0.0.1:{}", std::env::var("PLANTED_PORT").unwrap()))
    }

    #[test]
    fn first() {
        let listener = listen().unwrap();
        tell("listening");
        hear("refused");
        drop(listener);
    }

    #[test]
    fn second() {
        hear("listening");
        assert!(listen().is_err());
        tell("refused");
    }

    /// The name of the thread is cut, and the thread that it starts, which serves, inherits it.
    #[test]
    fn innocent_with_a_long_name() {
        let drawn = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let server = std::thread::spawn(move || {
            let listener = TcpListener::bind(drawn).unwrap();
            ready.send(()).unwrap();
            listener.accept().unwrap();
        });
        is_ready.recv().unwrap();
        TcpStream::connect(drawn).unwrap();
        server.join().unwrap();
    }
}
