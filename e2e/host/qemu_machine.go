//go:build linux

package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	qemuProgram = "qemu-system-x86_64"
	// kernelLine is what virtual hosts boot with. Links keep the names eth0 and eth1. Mitigations and cleared memory cost much
	// where they are emulated, and protect nothing here. Programs at the same addresses each time are translated once, which
	// halves the time that a container takes to start. no_timer_check: on a busy machine an emulated timer may be late, and the
	// kernel would take it for broken and panic.
	kernelLine = "console=ttyS0 net.ifnames=0 quiet tsc=reliable no_timer_check systemd.condition-first-boot=no" +
		" mitigations=off init_on_alloc=0 randomize_kstack_offset=off norandmaps"
	// managementMAC is the same in all hosts: a restored host has the one that was saved until it reboots, and the other
	// end of the link would not notice a change.
	managementMAC = "02:99:00:00:01:01"
)

// machine says how QEMU is started for a host.
type machine struct {
	Mark     string // name by which the process is found
	Image    string // folder of the kernel
	Disk     string
	Console  string // file that gets the kernel's messages
	Accel    string // "tcg" or "kvm"
	MAC      string // of the link to the underlay
	Underlay string // multicast group and port that stand for the underlay's cable
	Port     int    // of 127.0.0.1, that leads to the host's ssh
	State    int    // file descriptor of a saved state to go on from; 0 for none
	Monitor  int    // file descriptor of a socket for QEMU's monitor; 0 for none
}

// args are QEMU's arguments. A saved state fits only a machine that was started with the same devices in the same order.
func (m machine) args() []string {
	// What an emulated processor can do besides the least costs at each change of a process, half as much again in all. These
	// cost nothing, and hashes and ssh gain by them.
	accel, cpu := "tcg,thread=multi,tb-size=512", "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq"
	if m.Accel == "kvm" {
		accel, cpu = "kvm", "host"
	}
	args := []string{
		"-name", m.Mark, "-accel", accel, "-machine", "q35", "-cpu", cpu, "-m", "1024", "-smp", "2",
		"-nodefaults", "-no-user-config", "-display", "none",
		"-chardev", "file,id=console,path=" + optionValue(m.Console), "-serial", "chardev:console",
		"-kernel", filepath.Join(m.Image, "vmlinuz"), "-initrd", filepath.Join(m.Image, "initrd"), "-append", kernelLine,
		// unsafe: what the host has flushed is in the machine's memory at least, and survives QEMU, which is all that is killed
		"-drive", "file=" + optionValue(m.Disk) + ",format=qcow2,if=none,id=disk,cache=unsafe,discard=unmap",
		"-device", "virtio-blk-pci,drive=disk",
		"-netdev", "socket,id=underlay,mcast=" + m.Underlay + ",localaddr=127.0.0.1",
		"-device", "virtio-net-pci,netdev=underlay,mac=" + m.MAC,
		"-netdev", fmt.Sprintf("user,id=management,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:%d-:22", m.Port),
		"-device", "virtio-net-pci,netdev=management,mac=" + managementMAC,
		"-device", "virtio-rng-pci",
	}
	if m.Monitor != 0 {
		args = append(args, "-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", m.Monitor), "-mon", "chardev=monitor,mode=control")
	}
	if m.State != 0 {
		args = append(args, "-incoming", fmt.Sprintf("fd:%d", m.State))
	}
	return args
}

// optionValue writes a value into one of QEMU's comma-separated options.
func optionValue(text string) string { return strings.ReplaceAll(text, ",", ",,") }

// underlayOf gives each cluster a cable of its own: hosts of another on this machine must not hear it.
func underlayOf(mark string) string {
	sum := sha256.Sum256([]byte(mark))
	return fmt.Sprintf("239.%d.%d.%d:%d", sum[0], sum[1], 1+int(sum[2])%254, 20000+int(sum[3])*40)
}

// freePort is a TCP port of 127.0.0.1 that nobody has just now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// process is one that this or a former test binary has started.
type process struct {
	Pid     int
	Started uint64 // as in holder
}

// spawn starts a program that ends with the test binary, unless hosts are kept.
func spawn(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // ^C is for the test binary
	if !keep() {
		cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	}
	p, started := &process{}, make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Pdeathsig is about the end of this thread
		err := cmd.Start()
		if err == nil {
			p.Pid = cmd.Process.Pid
			p.Started, err = startTime(p.Pid)
		}
		started <- err
		if cmd.Process != nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(cmd.Path), err)
	}
	return p, nil
}

func (p *process) alive() bool {
	if p == nil {
		return false
	}
	t, err := startTime(p.Pid)
	return err == nil && t == p.Started
}

// kill ends the process at once and waits for its end.
func (p *process) kill() error {
	for range 1000 {
		if !p.alive() {
			return nil
		}
		if err := unix.Kill(p.Pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("ending process %d: %w", p.Pid, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("ending process %d: it is still there after 10 s", p.Pid)
}

// marked finds processes that have an argument which begins with mark: every QEMU and ssh of a cluster, whichever test
// binary started it, and whether or not it lived to write it down.
func marked(mark string) []*process {
	var found []*process
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), mark) {
			continue
		}
		for _, arg := range strings.Split(string(text), "\x00") {
			var p process
			if !strings.HasPrefix(arg, mark) {
				continue
			}
			if _, err := fmt.Sscanf(file, "/proc/%d/cmdline", &p.Pid); err != nil || p.Pid == os.Getpid() {
				break
			}
			if p.Started, err = startTime(p.Pid); err == nil {
				found = append(found, &p)
			}
			break
		}
	}
	return found
}

// accelerator is what runs virtual hosts: "kvm" where a guest really boots with it. On machines that are guests
// themselves /dev/kvm may be there, and a guest hangs on it. The verdict is kept until the machine's next boot.
func accelerator(ctx context.Context) (string, error) {
	if unix.Access("/dev/kvm", unix.R_OK|unix.W_OK) != nil {
		return "tcg", nil
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(cacheDir(), 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(cacheDir(), "accelerator")
	lock, err := lockFile(ctx, file+".lock", false)
	if err != nil {
		return "", err
	}
	defer lock.Unlock() //nolint:errcheck // ends with the process anyway
	if text, err := os.ReadFile(file); err == nil {
		if verdict, is := strings.CutPrefix(string(text), string(boot)); is {
			return verdict, nil
		}
	}
	image, err := vmImage(suites()[0])
	if err != nil {
		return "", err
	}
	verdict := "tcg"
	if probeKVM(ctx, image) {
		verdict = "kvm"
	}
	return verdict, os.WriteFile(file, []byte(string(boot)+verdict), 0o644)
}

// probeKVM boots a guest that only says that it is there.
func probeKVM(ctx context.Context, image string) bool {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemuProgram, "-accel", "kvm", "-machine", "q35", "-cpu", "host", "-m", "256",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", filepath.Join(image, "vmlinuz"), "-initrd", filepath.Join(image, "initrd"), "-append", kernelLine+" testhost.probe")
	cmd.WaitDelay = time.Second
	out, _ := cmd.Output() // whatever goes wrong, the answer is no
	return strings.Contains(string(out), "testhost-probe-works")
}
