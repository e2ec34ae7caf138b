package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
)

// Net is a network to be created.
type Net struct {
	Name   string
	Subnet string
	// Gateway is the subnet's first address if empty: Docker chooses it.
	Gateway string
	// Switch is left out if empty, as transit networks may.
	Switch string
	// Auto sets ovn.auto_create.
	Auto bool
	// Driver is the plugin's full name if empty.
	Driver string
	// NB and SB are the README's connections if empty.
	NB, SB string
	// Options are more driver options, KEY=VALUE.
	Options []string
	// Flags are more flags of docker network create.
	Flags []string
}

// Args are the arguments of docker.
func (n Net) Args() []string {
	args := []string{"network", "create", "--driver", cmp.Or(n.Driver, host.PluginName)}
	if n.Subnet != "" {
		args = append(args, "--subnet", n.Subnet)
	}
	if n.Gateway != "" {
		args = append(args, "--gateway", n.Gateway)
	}
	for _, o := range n.DriverOptions() {
		args = append(args, "--opt", o)
	}
	return append(append(args, n.Flags...), n.Name)
}

// DriverOptions are all driver options, KEY=VALUE.
func (n Net) DriverOptions() []string {
	options := []string{"ovn.nb_connection=" + cmp.Or(n.NB, NB), "ovn.sb_connection=" + cmp.Or(n.SB, SB)}
	if n.Switch != "" {
		options = append(options, "ovn.switch="+n.Switch)
	}
	if n.Auto {
		options = append(options, "ovn.auto_create=true")
	}
	return append(options, n.Options...)
}

// Network creates a network and returns its id.
func (l *Lab) Network(ctx context.Context, n Net) string {
	GinkgoHelper()
	for range 2 {
		out, err := l.Docker(ctx, n.Args()...)
		// On an emulated host that has not all of the machine, OVN central may start more slowly than Docker waits for a
		// plugin. The message says to try again, and nothing is left of the first try.
		if err != nil && n.Auto && host.Emulated(l.Host) && strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
			GinkgoWriter.Println("trying again:", err)
			continue
		}
		Expect(err).NotTo(HaveOccurred())
		return strings.TrimSpace(out)
	}
	return l.MustDocker(ctx, n.Args()...)
}

// NetworkError creates a network, which has to fail, and returns what the user reads.
func (l *Lab) NetworkError(ctx context.Context, args ...string) string {
	GinkgoHelper()
	out, err := l.Docker(ctx, args...)
	Expect(err).To(HaveOccurred(), "docker %s succeeded: %s", strings.Join(args, " "), out)
	return strings.TrimSpace(stderr(err))
}

func stderr(err error) string {
	var failed *host.CommandError
	Expect(err).To(BeAssignableToTypeOf(failed))
	return err.(*host.CommandError).Stderr //nolint:errorlint // asserted one line above
}

// Container runs the demo image, which serves HTTP on port 80, and returns the container's id.
func (l *Lab) Container(ctx context.Context, name, network string, flags ...string) string {
	GinkgoHelper()
	args := append([]string{"run", "-d", "--name", name, "--network", network}, flags...)
	return l.MustDocker(ctx, append(args, host.ImageDemo)...)
}

// Exec runs a command in a container.
func (l *Lab) Exec(ctx context.Context, container string, argv ...string) string {
	GinkgoHelper()
	return l.MustDocker(ctx, append([]string{"exec", container}, argv...)...)
}

// Ping has a container reach a name or address with its very first packet.
func (l *Lab) Ping(ctx context.Context, container, target string) {
	GinkgoHelper()
	l.Exec(ctx, container, "ping", "-c", "1", "-W", "2", target)
}

// Endpoint is a container's place in a network, as Docker shows it.
type Endpoint struct {
	NetworkID, EndpointID, Gateway, IPAddress, MacAddress string
	IPPrefixLen                                           int
}

// Endpoint reads it.
func (l *Lab) Endpoint(ctx context.Context, container, network string) Endpoint {
	GinkgoHelper()
	var all map[string]Endpoint
	text := l.MustDocker(ctx, "inspect", "-f", "{{json .NetworkSettings.Networks}}", container)
	Expect(json.Unmarshal([]byte(text), &all)).To(Succeed())
	Expect(all).To(HaveKey(network))
	return all[network]
}

// AddressOf is a container's IPv4 address in a network.
func (l *Lab) AddressOf(ctx context.Context, container, network string) string {
	GinkgoHelper()
	address := l.Endpoint(ctx, container, network).IPAddress
	Expect(address).NotTo(BeEmpty())
	return address
}

// Interface is a link inside a container.
type Interface struct{ Name, MAC, MTU string }

// Interface finds the link of a container that has an address, given with its prefix length.
func (l *Lab) Interface(ctx context.Context, container, address string) Interface {
	GinkgoHelper()
	// "7: eth0    inet 10.0.0.2/24 brd 10.0.0.255 scope global eth0"
	for _, line := range l.Lines(ctx, "docker", "exec", container, "ip", "-o", "-4", "addr") {
		if f := strings.Fields(line); len(f) > 3 && f[3] == address {
			name := strings.TrimSuffix(f[1], ":")
			return Interface{
				Name: name,
				MAC:  l.Exec(ctx, container, "cat", "/sys/class/net/"+name+"/address"),
				MTU:  l.Exec(ctx, container, "cat", "/sys/class/net/"+name+"/mtu"),
			}
		}
	}
	Fail("no link of container " + container + " has the address " + address)
	return Interface{}
}

// ours are the ids of networks whose driver is the plugin, under whichever name it runs.
func (l *Lab) ours(ctx context.Context) []string {
	GinkgoHelper()
	var ids []string
	for _, line := range l.Lines(ctx, "docker", "network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Driver}}") {
		if id, driver, _ := strings.Cut(line, " "); driver == host.PluginName || driver == "ovs-dev" {
			ids = append(ids, id)
		}
	}
	return ids
}

// RemoveContainers removes all containers but OVN's.
func (l *Lab) RemoveContainers(ctx context.Context) {
	GinkgoHelper()
	var names []string
	for _, name := range l.Lines(ctx, "docker", "ps", "-a", "--format", "{{.Names}}") {
		if !strings.HasPrefix(name, "ovn-") {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		l.MustDocker(ctx, append([]string{"rm", "-f"}, names...)...)
	}
}

// RemoveNetworks removes all networks of the plugin.
func (l *Lab) RemoveNetworks(ctx context.Context) {
	GinkgoHelper()
	ids := l.ours(ctx)
	if len(ids) == 0 {
		return
	}
	_, err := l.Docker(ctx, append([]string{"network", "rm"}, ids...)...)
	if err != nil && strings.Contains(err.Error(), "has active endpoints") {
		l.recount(ctx)
		ids = l.ours(ctx)
		_, err = l.Docker(ctx, append([]string{"network", "rm"}, ids...)...)
	}
	Expect(err).NotTo(HaveOccurred())
}

// recount proves that Docker has miscounted a network's endpoints, and has it count them again. The engine takes one from the
// count without a lock, so that of two endpoints removed at the same time one may stay in it for ever, whatever the driver
// (moby/moby#42119); it counts anew when it starts.
func (l *Lab) recount(ctx context.Context) {
	GinkgoHelper()
	for _, id := range l.ours(ctx) {
		Expect(l.MustDocker(ctx, "network", "inspect", "-f", "{{len .Containers}}", id)).To(Equal("0"), "containers on network %s", id)
	}
	endpoints := slices.DeleteFunc(l.Records(ctx), func(name string) bool { return !strings.Contains(name, "/data/endpoints/") })
	Expect(endpoints).To(BeEmpty(), "endpoints of the plugin")
	AddReportEntry("Docker counts endpoints that nobody has (moby/moby#42119): restarted")
	Expect(l.RestartDocker(ctx)).To(Succeed())
}

// Clean removes all containers and all networks of the plugin, OVN excepted, and proves that nothing of them is left.
func (l *Lab) Clean(ctx context.Context) {
	GinkgoHelper()
	l.RemoveContainers(ctx)
	l.RemoveNetworks(ctx)
	l.NothingLeft(ctx)
}
