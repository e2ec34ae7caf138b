// Package host gives end-to-end suites whole Docker hosts to run on.
//
// A suite asks for a Cluster by a Spec and talks to its hosts only through Host: what a host is made of is the business
// of a provider, chosen by E2E_PROVIDER, so that the same suites run on namespaces of one machine and on real machines.
//
// The provider "local" makes each host of namespaces (mount, network, UTS, IPC, PID, cgroup) under one holder process:
// killing the holder is the host's power switch, and the kernel then ends its processes, unmounts its file systems and
// removes its links. Nothing is mocked: every host runs a Docker Engine, Open vSwitch and containers of its own. Its root
// is a tree made by hack/testhost-image.sh and mounted read-only; only /etc, /var and a few more belong to the host, as
// plain folders, because Docker's overlay2 does not work on top of another overlay. Hosts are joined by an underlay, a
// bridge in a namespace of its own that has no way out, at 10.99.0.0/24.
//
// The provider "qemu" makes each host a virtual machine, with the kernel, the systemd and the packages of its Debian, and
// with what scripts/install.sh sets for its boot. It is for what namespaces cannot show: the kernel's datapath, a reboot,
// a clock of the host's own. Its disk comes from hack/vm-image.sh; images and plugin are brought in once, and the running
// host is then saved with its memory. Hosts start from that, as copies that are told who they are, in seconds instead of
// the half minute that a boot takes where the machine has no usable KVM. PowerOff kills QEMU, and Boot boots the same
// disk: what the host had not written to it is lost, as in a real power cut. The underlay is a multicast group of the
// machine's loopback, and commands go over ssh. A command that is ended by its context may go on in the host. What a
// host's Options do not ask for is stopped and disabled, but installed.
//
// The provider "lima" makes each host an instance of Lima, on a developer's machine, a Mac or Linux, and without root,
// which Lima refuses. Its disk is Debian's own cloud image, and hack/lima/ says what is installed on it, once: hosts
// are clones of that instance. They reach each other on Lima's network user-v2, which is one for all instances of the
// user and leads to the internet. Needed are Lima 2, Go, ssh, tar and a Docker with Linux containers of the machine's
// own architecture, in which the images are and which `docker` reaches; that may be Docker Desktop, or an instance of
// Lima made from its template "docker". Tests and hosts are otherwise the same as with QEMU. What they are given (make
// images rootfs) is made by scripts that want GNU's tools, bash 5 and flock, which on a Mac come from Homebrew and must
// be first in PATH; build/plugin and the images may as well be made on Linux and brought over.
//
// Environment:
//
//	E2E_PROVIDER  local (default), qemu or lima
//	E2E_KEEP      1: leave the cluster running at the end, and take over the one that runs
//	E2E_DIR       folder of the hosts' file systems (default build/e2e in the checkout)
//	E2E_SUITE     Debian release the hosts run (default bookworm); of several, by commas, each host the next
//	              one. Others than bookworm: hack/release.sh and, for virtual machines, hack/vm-image.sh
//	E2E_TEMPLATE  Lima's template for the hosts (default hack/lima/SUITE.yaml), such as one with images of another mirror,
//	              and with hack/lima/host.yaml as its base
//	E2E_CGROUP    v2: give the hosts a pure version 2 hierarchy where the machine has both
//	CI            set: what is missing fails a suite instead of skipping it
package host
