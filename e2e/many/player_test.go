package many_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
)

const (
	folder  = "/var/tmp/many"
	binary  = folder + "/ovs-container-network"
	socket  = folder + "/plugin.sock"
	control = folder + "/control.sock"
)

// player is a host whose Docker is played.
type player struct{ *lab.Lab }

// install runs the plugin as it is, outside of Docker, and an ovn-controller as its package does.
func (p player) install(ctx context.Context) {
	GinkgoHelper()
	Expect(p.CopyIn(ctx, filepath.Join(host.PluginDir(), "..", "ovs-container-network"), binary)).To(Succeed())
	p.Must(ctx, "/usr/share/ovn/scripts/ovn-ctl", "start_controller")
	_, err := p.Start(ctx, "/var/log/plugin.log", "env", "PLUGIN_SOCKET="+socket, "PLUGIN_DATA_DIR="+folder+"/data", "PLUGIN_CONTROL_SOCKET="+control, binary, "serve")
	Expect(err).NotTo(HaveOccurred())
	lab.Soon(ctx, func(g Gomega) {
		out, err := p.Run(ctx, binary, "status", "--json", "--socket", control)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(out).To(ContainSubstring(`"ready": true`))
	})
}

// call makes a call of Docker's plugin protocol, which must succeed, and returns the answer.
func (p player) call(ctx context.Context, what string, body any) map[string]any {
	GinkgoHelper()
	text, err := json.Marshal(body)
	Expect(err).NotTo(HaveOccurred())
	out, err := p.RunInput(ctx, strings.NewReader(string(text)), "curl", "--silent", "--show-error", "--max-time", "30", "--unix-socket", socket, "--data-binary", "@-", "http://plugin/"+what)
	Expect(err).NotTo(HaveOccurred())
	answer := map[string]any{}
	Expect(json.Unmarshal([]byte(out), &answer)).To(Succeed(), out)
	Expect(answer["Err"]).To(BeNil(), "%s on %s", what, p.Name())
	return answer
}

// request is the body of a call.
type request = map[string]any

// id is what Docker would name the n-th thing of a kind on a host.
func (p player) id(kind string, n int) string {
	name := fmt.Sprintf("%s%s%d", kind, strings.TrimPrefix(p.Name(), "m"), n)
	return fmt.Sprintf("%x%s", name, strings.Repeat("0", 64-2*len(name)))
}

func (p player) network() string { return p.id("e", 0) }

// space is how Docker names the address space and the pool of the plugin to it.
type space struct{ pool string }

// create makes the network, with addresses of the plugin's own.
func (p player) create(ctx context.Context, subnet, nb, sb string) space {
	GinkgoHelper()
	spaces := p.call(ctx, "IpamDriver.GetDefaultAddressSpaces", request{})
	pool := p.call(ctx, "IpamDriver.RequestPool", request{"AddressSpace": spaces["LocalDefaultAddressSpace"], "Pool": subnet})
	s := space{pool["PoolID"].(string)}
	gateway := p.call(ctx, "IpamDriver.RequestAddress", request{"PoolID": s.pool, "Options": request{"RequestAddressType": "com.docker.network.gateway"}})
	p.call(ctx, "NetworkDriver.CreateNetwork", request{
		"NetworkID": p.network(),
		"Options": request{"com.docker.network.generic": request{
			"ovn.switch": "ls-many", "ovn.nb_connection": nb, "ovn.sb_connection": sb,
		}},
		"IPv4Data": []request{{"AddressSpace": spaces["LocalDefaultAddressSpace"], "Pool": subnet, "Gateway": gateway["Address"]}},
	})
	return s
}

// attach makes the n-th endpoint and joins a network namespace to it, and returns its address without the prefix length.
func (p player) attach(ctx context.Context, s space, n int) string {
	GinkgoHelper()
	address := p.call(ctx, "IpamDriver.RequestAddress", request{"PoolID": s.pool})["Address"].(string)
	endpoint, at := p.id("c", n), fmt.Sprint("c", n)
	p.call(ctx, "NetworkDriver.CreateEndpoint", request{"NetworkID": p.network(), "EndpointID": endpoint, "Interface": request{"Address": address}})
	joined := p.call(ctx, "NetworkDriver.Join", request{"NetworkID": p.network(), "EndpointID": endpoint, "SandboxKey": "/var/run/docker/netns/" + at})
	link := joined["InterfaceName"].(map[string]any)["SrcName"].(string)
	p.Must(ctx, "ip", "netns", "add", at)
	batch := fmt.Sprintf("link set %s netns %s name eth0", link, at)
	_, err := p.RunInput(ctx, strings.NewReader(batch), "ip", "-batch", "-")
	Expect(err).NotTo(HaveOccurred())
	_, err = p.RunInput(ctx, strings.NewReader("address add "+address+" dev eth0\nlink set eth0 up"), "ip", "-netns", at, "-batch", "-")
	Expect(err).NotTo(HaveOccurred())
	bare, _, _ := strings.Cut(address, "/")
	return bare
}

// detach removes the n-th endpoint.
func (p player) detach(ctx context.Context, s space, n int, address string) {
	GinkgoHelper()
	endpoint, at := p.id("c", n), fmt.Sprint("c", n)
	p.call(ctx, "NetworkDriver.Leave", request{"NetworkID": p.network(), "EndpointID": endpoint})
	p.Must(ctx, "ip", "netns", "delete", at)
	p.call(ctx, "NetworkDriver.DeleteEndpoint", request{"NetworkID": p.network(), "EndpointID": endpoint})
	p.call(ctx, "IpamDriver.ReleaseAddress", request{"PoolID": s.pool, "Address": address})
}
