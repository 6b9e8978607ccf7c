//! Leader routing on a real API server. No node: the tests play the scheduler and the kubelet.

mod bench;
mod crowd;
mod kills;
mod meddled;
mod objects;
mod rig;
mod rights;
mod timing;
