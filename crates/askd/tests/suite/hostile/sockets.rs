//! Unix sockets of the host, on which services listen that trust whoever can reach them.

use std::fs;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::server::{Layer, for_each_server};
use super::table::{stopped, try_all};

/// A service of the host. Dropped, it leaves nothing.
struct Service {
    path: Option<PathBuf>,
    address: SocketAddr,
}

impl Service {
    fn at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        let address = listener.local_addr().unwrap();
        greet(listener);
        Self { path: Some(path.to_owned()), address }
    }

    fn named(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(name).unwrap();
        greet(UnixListener::bind_addr(&address).unwrap());
        Self { path: None, address }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Ends its thread, which listens until somebody comes who says `x`.
        let goodbye = std::os::unix::net::UnixStream::connect_addr(&self.address);
        drop(goodbye.and_then(|mut socket| socket.write_all(b"x")));
        self.path.iter().for_each(|path| drop(fs::remove_file(path)));
    }
}

fn greet(listener: UnixListener) {
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            drop(socket.write_all(b"hello"));
            drop(socket.shutdown(std::net::Shutdown::Write));
            let mut last = [0];
            if std::io::Read::read(&mut socket, &mut last).is_ok_and(|count| count == 1) {
                return;
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_the_host_are_reached_only_where_the_report_says_so() {
    for_each_server(async |attacked| {
        let name = format!("askd-test-{}", Uuid::new_v4());
        let below = |folder: &str| PathBuf::from(folder).join(&name);
        let elsewhere = attacked.folders.root().join("elsewhere/socket");
        let mut services = vec![
            Service::named(&name),
            Service::at(&elsewhere),
            Service::at(&below("/tmp")),
            Service::at(&attacked.folders.data().join("socket")),
            Service::at(&attacked.folders.workspace().join("other/socket")),
        ];
        let connect = |path: &Path| {
            // Landlock knows no right to connect before its version 9.
            stopped(format!("connect {}", path.display())).unless_said(Layer::Landlock, "unix socket")
        };
        let mut rows = vec![
            stopped(format!("connect-abstract {name}")).unless_said(Layer::Bubblewrap, "abstract unix sockets"),
            connect(&elsewhere).unless_said(Layer::Bubblewrap, "unix sockets that lie in folders that the view shows"),
            connect(&below("/tmp")),
            connect(&attacked.folders.data().join("socket")),
            connect(&attacked.folders.workspace().join("other/socket")),
        ];
        if rustix::process::geteuid().is_root() {
            services.push(Service::at(&below("/run")));
            rows.push(connect(&below("/run")));
        }
        try_all(attacked, &rows).await;
        drop(services);
    })
    .await;
}
