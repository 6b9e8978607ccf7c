//! The program under test: the real binary, which dies when it is told to, without a word.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};

/// A running engine. It ends with this value, and with this process.
pub(crate) struct Engine {
    child: Mutex<Option<Child>>,
    pid: u32,
}

/// Where logs and kubeconfigs of this run are.
pub(crate) fn scratch() -> &'static Path {
    static SCRATCH: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("engine-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    });
    &SCRATCH
}

impl Engine {
    /// Start `headworks run`, with `args`, against the API server at a plain HTTP port. The log goes on at its end.
    pub(crate) fn start(port: u16, log: &Path, args: &[&str]) -> Self {
        let kubeconfig = scratch().join(format!("{port}.kubeconfig"));
        fs::write(&kubeconfig, plain(port)).unwrap();
        let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
        // The kernel ends it when the thread that started it ends: `starter` never does.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_headworks"), "run"])
            .args(["--listen", "127.0.0.1:0", "--probes", "127.0.0.1:0", "--log-format", "json"])
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            .env_remove("POD_NAMESPACE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let (answer, child) = channel();
        starter().send((command, answer)).unwrap();
        let child = child.recv().unwrap();
        Self { pid: child.id(), child: Mutex::new(Some(child)) }
    }

    /// SIGKILL; whatever it was doing, it does no more when this returns.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ask it to stop, and wait until it has.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.wait().unwrap();
        }
    }

    /// Stop it as a debugger or a frozen machine does; it knows of nothing until [`Engine::thaw`].
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.lock().unwrap();
        assert!(child.is_some(), "it is not running");
        let status = Command::new("kill").args(["-s", signal, &self.pid.to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What to start, and where to send what was started.
type Order = (Command, Sender<Child>);

/// A thread that starts processes, and lives as long as they may.
fn starter() -> Sender<Order> {
    static STARTER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
        let (orders, wanted) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in wanted {
                answer.send(command.spawn().unwrap()).unwrap();
            }
        });
        Mutex::new(orders)
    });
    STARTER.lock().unwrap().clone()
}

fn plain(port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
         clusters: [{{name: it, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n\
         contexts: [{{name: it, context: {{cluster: it, user: it}}}}]\nusers: [{{name: it, user: {{}}}}]\n"
    )
}
