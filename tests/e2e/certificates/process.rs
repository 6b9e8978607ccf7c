//! A pod's process as the kernel of this machine shows it, where the node is this machine.

use std::path::PathBuf;
use std::process::Command;

/// The program's process in a pod.
pub(super) struct Process(PathBuf);

impl Process {
    /// The one of the pod with this UID; `None` where the node is another machine.
    pub(super) fn of(pod_uid: &str) -> Option<Self> {
        let all = std::fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut ours = all.filter(|path| {
            let in_pod =
                std::fs::read_to_string(path.join("cgroup")).is_ok_and(|text| text.contains(pod_uid));
            in_pod && path.join("exe").read_link().is_ok_and(|exe| exe.ends_with("headworks"))
        });
        ours.next().map(Self)
    }

    /// Its id in its container.
    pub(super) fn id_inside(&self) -> u32 {
        let status = std::fs::read_to_string(self.0.join("status")).unwrap();
        let ids = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
        ids.split_whitespace().last().unwrap().parse().unwrap()
    }

    /// What `/proc` tells to whoever may look: its arguments and its environment.
    pub(super) fn told(&self) -> String {
        let read = |name: &str| std::fs::read(self.0.join(name)).unwrap();
        String::from_utf8_lossy(&[read("cmdline"), read("environ")].concat()).replace('\0', "\n")
    }

    /// End it at once, as the kernel does where memory is short.
    pub(super) fn kill(&self) {
        let id = self.0.file_name().unwrap();
        assert!(Command::new("kill").arg("-KILL").arg(id).status().unwrap().success());
    }
}
