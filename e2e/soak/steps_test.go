package soak_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
)

const (
	mostNetworks   = 6 // beside the steady one
	mostContainers = 25
)

// soak is a run of random steps. What there is, is read from Docker before each step, not remembered: what survives a
// killed dockerd is Docker's to say.
type soak struct {
	*rand.Rand
	made int // names given
}

type step struct {
	name   string
	weight int
	do     func(ctx context.Context, s *soak)
}

// choose draws a step. Those whose objects there are none of do nothing, and cost nothing.
func (s *soak) choose() step {
	all := slices.Concat(usual, disturbances)
	total := 0
	for _, a := range all {
		total += a.weight
	}
	at := s.IntN(total)
	for _, a := range all {
		if at -= a.weight; at < 0 {
			return a
		}
	}
	panic("weights do not add up")
}

// usual is what users do.
var usual = []step{
	{"create a network", 6, func(ctx context.Context, s *soak) {
		if len(networks(ctx)) <= mostNetworks {
			s.must(ctx, s.newNetwork())
		}
	}},
	{"run containers", 30, func(ctx context.Context, s *soak) { s.must(ctx, s.newContainers(ctx)...) }},
	{"stop containers", 10, func(ctx context.Context, s *soak) { s.must(ctx, s.each(ctx, running(ctx), "stop", "-t", "0")...) }},
	{"start containers", 10, func(ctx context.Context, s *soak) { s.must(ctx, s.each(ctx, stopped(ctx), "start")...) }},
	{"restart containers", 6, func(ctx context.Context, s *soak) {
		s.must(ctx, s.each(ctx, running(ctx), "restart", "-t", "0")...)
	}},
	{"remove containers", 20, func(ctx context.Context, s *soak) { s.must(ctx, s.each(ctx, all(ctx), "rm", "-f")...) }},
	{"connect a container to a second network", 6, func(ctx context.Context, s *soak) {
		if c, n := s.one(mine(all(ctx))), s.one(networks(ctx)); c != "" && !slices.Contains(networksOf(ctx, c), n) {
			s.must(ctx, []string{"network", "connect", n, c})
		}
	}},
	{"disconnect a container", 6, func(ctx context.Context, s *soak) {
		if c := s.one(mine(all(ctx))); c != "" {
			if n := s.one(networksOf(ctx, c)); n != "" {
				s.must(ctx, []string{"network", "disconnect", n, c})
			}
		}
	}},
	{"remove a network and its containers", 4, func(ctx context.Context, s *soak) {
		n := s.one(slices.DeleteFunc(networks(ctx), func(n string) bool { return n == steady.Name }))
		if n == "" {
			return
		}
		if on := mine(l.Lines(ctx, "docker", "ps", "-a", "--format", "{{.Names}}", "--filter", "network="+n)); len(on) > 0 {
			l.MustDocker(ctx, append([]string{"rm", "-f"}, on...)...)
		}
		l.MustDocker(ctx, "network", "rm", n)
	}},
}

// disturbances is what befalls hosts. While most of them go on, containers are started and removed, which may fail, or
// may not: only what is there afterwards counts.
var disturbances = []step{
	{"the plugin is disabled and enabled", 3, func(ctx context.Context, _ *soak) { l.RestartPlugin(ctx) }},
	{"containers are removed while the plugin is disabled", 1, func(ctx context.Context, s *soak) {
		l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
		s.may(ctx, s.each(ctx, all(ctx), "rm", "-f")) // dockerd waits 15 s for each call
		l.MustDocker(ctx, "plugin", "enable", host.PluginName)
	}},
	{"the plugin is killed", 4, func(ctx context.Context, s *soak) {
		s.meanwhile(ctx, func() { l.Must(ctx, "kill", "-9", l.Must(ctx, "pidof", "ovs-container-network")) })
	}},
	{"dockerd is killed", 2, func(ctx context.Context, _ *soak) {
		Expect(l.KillDocker(ctx)).To(Succeed())
		Expect(l.StartDocker(ctx)).To(Succeed())
	}},
	{"dockerd is stopped and started", 1, func(ctx context.Context, _ *soak) { Expect(l.RestartDocker(ctx)).To(Succeed()) }},
	{"Open vSwitch is restarted", 2, func(ctx context.Context, s *soak) {
		s.meanwhile(ctx, func() {
			Expect(l.StopOVS(ctx)).To(Succeed())
			Expect(l.StartOVS(ctx)).To(Succeed())
		})
	}},
	{"OVN central is away", 3, func(ctx context.Context, s *soak) {
		l.MustDocker(ctx, "stop", "-t", "1", "ovn-central")
		s.must(ctx, s.newContainers(ctx)...)
		s.must(ctx, s.each(ctx, all(ctx), "rm", "-f")...)
		l.MustDocker(ctx, "start", "ovn-central")
	}},
	{"OVN central is removed", 1, func(ctx context.Context, s *soak) {
		l.MustDocker(ctx, "rm", "-f", "ovn-central")
		if s.IntN(2) == 0 {
			l.MustDocker(ctx, "volume", "rm", "ovn-central-db")
		}
		Eventually(func() []string { return running(ctx) }).
			WithContext(ctx).WithTimeout(40 * time.Second).WithPolling(time.Second).Should(ContainElement("ovn-central"))
	}},
	{"ovn-controller is killed", 3, func(ctx context.Context, s *soak) {
		s.meanwhile(ctx, func() {
			l.MustDocker(ctx, "kill", "ovn-controller")
			l.MustDocker(ctx, "start", "ovn-controller")
		})
	}},
	{"somebody deletes an OVS port", 3, func(ctx context.Context, s *soak) {
		if port := s.one(l.OVSOwned(ctx)); port != "" {
			l.Must(ctx, "ovs-vsctl", "--if-exists", "del-port", port)
		}
	}},
	{"somebody deletes a logical switch port", 3, func(ctx context.Context, s *soak) {
		ports := strings.Fields(l.NBCtl(ctx, "--bare", "--columns=name", "find", "Logical_Switch_Port", "external_ids:owner="+lab.Owner))
		if port := s.one(ports); port != "" {
			l.NBCtl(ctx, "--if-exists", "lsp-del", port)
		}
	}},
	{"somebody deletes the bridge", 1, func(ctx context.Context, _ *soak) { l.Must(ctx, "ovs-vsctl", "del-br", "br-int") }},
}

// meanwhile does something while containers are started and removed.
func (s *soak) meanwhile(ctx context.Context, do func()) {
	GinkgoHelper()
	started, removed := s.newContainers(ctx), s.each(ctx, all(ctx), "rm", "-f")
	var both errgroup.Group
	both.Go(func() error { s.may(ctx, slices.Concat(started, removed)); return nil })
	do()
	_ = both.Wait() // they may fail
	// Those that did are removed: Docker does not try a failed start again.
	s.may(ctx, [][]string{append([]string{"rm", "-f"}, namesOf(started)...)})
}

// namesOf are the names in docker run commands.
func namesOf(runs [][]string) []string {
	var names []string
	for _, argv := range runs {
		names = append(names, argv[slices.Index(argv, "--name")+1])
	}
	return names
}

// must runs docker commands side by side, and all have to succeed.
func (s *soak) must(ctx context.Context, commands ...[]string) {
	GinkgoHelper()
	var work errgroup.Group
	for _, argv := range commands {
		work.Go(func() error { _, err := l.Docker(ctx, argv...); return err })
	}
	Expect(work.Wait()).To(Succeed())
}

// may runs docker commands side by side, whatever comes of it.
func (s *soak) may(ctx context.Context, commands [][]string) {
	var work errgroup.Group
	for _, argv := range commands {
		work.Go(func() error { _, _ = l.Docker(ctx, argv...); return nil })
	}
	_ = work.Wait() // as said
}

func (s *soak) one(of []string) string {
	if len(of) == 0 {
		return ""
	}
	return of[s.IntN(len(of))]
}

func (s *soak) newNetwork() []string {
	s.made++
	n := lab.Net{Name: fmt.Sprintf("n%d", s.made), Switch: fmt.Sprintf("ls-%d", s.IntN(mostNetworks)), Auto: s.IntN(2) == 0}
	n.Subnet = fmt.Sprintf("10.%d.%d.0/24", 101+s.made/250, s.made%250)
	if s.IntN(3) == 0 {
		n.Flags = []string{"--internal"}
	}
	return n.Args()
}

// newContainers are commands for one to three of them.
func (s *soak) newContainers(ctx context.Context) [][]string {
	GinkgoHelper()
	names := networks(ctx)
	if len(all(ctx)) > mostContainers {
		return nil
	}
	var commands [][]string
	for range 1 + s.IntN(3) {
		s.made++
		commands = append(commands, []string{
			"run", "-d", "--name", fmt.Sprintf("c%d", s.made), "--network", s.one(names),
			"--restart", s.one([]string{"no", "always"}), host.ImageDemo,
		})
	}
	return commands
}

// each is a command for one to three containers of a list.
func (s *soak) each(_ context.Context, of []string, command ...string) [][]string {
	of = mine(of)
	s.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
	var commands [][]string
	for _, c := range of[:min(len(of), 1+s.IntN(3))] {
		commands = append(commands, append(slices.Clone(command), c))
	}
	return commands
}

func ps(ctx context.Context, flags ...string) []string {
	GinkgoHelper()
	names := l.Lines(ctx, append([]string{"docker", "ps", "--format", "{{.Names}}"}, flags...)...)
	slices.Sort(names) // the same seed chooses the same
	return names
}

func all(ctx context.Context) []string     { return ps(ctx, "-a") }
func running(ctx context.Context) []string { return ps(ctx) }
func stopped(ctx context.Context) []string {
	return ps(ctx, "-a", "--filter", "status=exited", "--filter", "status=created")
}

func runningOn(ctx context.Context, network string) []string {
	return ps(ctx, "--filter", "network="+network)
}

// mine leaves out those that stay.
func mine(names []string) []string {
	return slices.DeleteFunc(names, func(n string) bool {
		return n == "ovn-central" || n == "ovn-controller" || strings.HasPrefix(n, "steady")
	})
}

// networks are the names of the plugin's.
func networks(ctx context.Context) []string {
	GinkgoHelper()
	names := l.Lines(ctx, "docker", "network", "ls", "--format", "{{.Name}}", "--filter", "driver="+host.PluginName)
	slices.Sort(names)
	return names
}

// networksOf are those of a container that are the plugin's.
func networksOf(ctx context.Context, container string) []string {
	GinkgoHelper()
	on := strings.Fields(l.MustDocker(ctx, "inspect", "-f", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", container))
	ours := networks(ctx)
	return slices.DeleteFunc(on, func(n string) bool { return !slices.Contains(ours, n) })
}
